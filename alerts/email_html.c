/* The HTML part of a mail: tables and inline styles, because that is what mail readers agree on. Nothing is loaded from
 * anywhere. The sheet at the top is for dark screens and narrow ones; readers that drop it show the light form. */
#include <stdio.h>
#include <string.h>

#include "alerts/email_body.h"
#include "alerts/sentence.h"
#include "alerts/template.h"
#include "base/error.h"

#define FONT "font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;"
#define MONO "font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,'Liberation Mono',monospace;"
#define TABLE "<table role=\"presentation\" cellpadding=\"0\" cellspacing=\"0\" border=\"0\" "

/* Outlook on Windows knows no max-width. */
#define WIDTH_BEGIN "<!--[if mso]>" TABLE "width=\"600\" align=\"center\"><tr><td><![endif]-->\n"
#define WIDTH_END "<!--[if mso]></td></tr></table><![endif]-->\n"
#define FIGURE_WHOLE 24 /* bytes that are kept on one line */

static const char head[] = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
			   "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
			   "<meta name=\"color-scheme\" content=\"light dark\">\n"
			   "<meta name=\"supported-color-schemes\" content=\"light dark\">\n"
			   "<meta name=\"format-detection\" content=\"telephone=no,date=no,address=no\">\n";

static const char sheet[] =
    "<style>\n"
    ":root{color-scheme:light dark}\n"
    "@media (max-width:480px){.pad{padding-left:18px!important;padding-right:18px!important}"
    ".page{padding:0!important}.card{border-radius:0!important;border-left:0!important;border-right:0!important}"
    ".label{width:40%!important}}\n"
    "@media (prefers-color-scheme:dark){.bg{background-color:#0e1116!important}"
    ".card{background-color:#171b22!important;border-color:#2b313b!important}"
    ".ink{color:#e8eaee!important}.soft{color:#9aa4b2!important}.line{border-color:#2b313b!important}"
    ".box{background-color:#20252e!important}.rest{background-color:#343b47!important}"
    ".main{background-color:#e8eaee!important;color:#12161c!important}"
    ".more{background-color:#171b22!important;color:#e8eaee!important;border-color:#4a5362!important}}\n"
    "</style>\n</head>\n";

struct html {
	struct buf *out;
	int r; /* of the first write that failed */
};

/* Ours, as it is. */
static void raw(struct html *h, const char *text)
{
	if (h->r == BUR_OK)
		h->r = buf_append_slice(h->out, slice_of(text));
}

/* A value. */
static void value(struct html *h, const char *text)
{
	if (h->r == BUR_OK)
		h->r = escape_append(h->out, ESCAPE_HTML, slice_of(text));
}

static void color(struct html *h, unsigned rgb)
{
	char text[8];

	(void)snprintf(text, sizeof(text), "#%06x", rgb & 0xffffff);
	raw(h, text);
}

/* A row of the card with space at both sides. */
static void row_begin(struct html *h, const char *style)
{
	raw(h, "<tr><td class=\"pad\" style=\"padding:");
	raw(h, style);
	raw(h, "\">");
}

static void row_end(struct html *h)
{
	raw(h, "</td></tr>\n");
}

/* --- parts -------------------------------------------------------------------------------------------------------- */

/* What inboxes show beside the subject, which stays the same for all mails of an incident: how it stands. */
static void put_preview(struct html *h, const struct brief *b)
{
	raw(h, "<div style=\"display:none;max-height:0;overflow:hidden;mso-hide:all;font-size:1px;line-height:1px;"
	       "color:#f3f4f6;opacity:0\">");
	value(h, b->title);
	raw(h, ". ");
	value(h, b->text);
	raw(h, "</div>\n");
}

static void put_header(struct html *h, const struct message *m)
{
	raw(h, "<tr><td class=\"pad\" bgcolor=\"");
	color(h, m->brief->color);
	raw(h, "\" style=\"padding:20px 32px 22px;background-color:");
	color(h, m->brief->color);
	raw(h, ";" FONT "\">\n<div style=\"font-size:12px;line-height:16px;letter-spacing:1.2px;font-weight:700;"
	       "color:#ffffff;opacity:.86\">");
	value(h, email_label(m));
	raw(h, "</div>\n<h1 style=\"margin:4px 0 0;font-size:22px;line-height:28px;font-weight:700;color:#ffffff;"
	       "word-break:break-word\">");
	value(h, email_title(m));
	raw(h, "</h1>");
	row_end(h);
}

static void put_text(struct html *h, const struct brief *b)
{
	if (!*b->text)
		return;
	row_begin(h, "22px 32px 0;" FONT);
	raw(h,
	    "<p class=\"ink\" style=\"margin:0;font-size:16px;line-height:24px;color:#1c2128;word-break:break-word\">");
	value(h, b->text);
	raw(h, "</p>");
	row_end(h);
}

static int percent(int64_t part, int64_t whole)
{
	double p = part > 0 ? (double)part * 100 / (double)whole : 0;

	return p >= 100 ? 100 : p > 0 && p < 1 ? 1 : (int)p;
}

static void put_segment(struct html *h, const char *class, const char *paint, int width)
{
	char text[300];

	if (width <= 0)
		return;
	(void)snprintf(
	    text, sizeof(text),
	    "<td class=\"%s\" width=\"%d%%\" bgcolor=\"%s\" style=\"width:%d%%;height:12px;line-height:12px;font-size:"
	    "1px;background-color:%s\">&nbsp;</td>",
	    class, width, paint, width, paint);
	raw(h, text);
}

/* How much is used, and beside it what running calls hold. */
static void put_bar(struct html *h, const struct brief *b, const struct figures *f)
{
	int used = percent(f->spent, f->limit), held = percent(f->held, f->limit);
	char paint[8];

	(void)snprintf(paint, sizeof(paint), "#%06x", b->color & 0xffffff);
	if (used + held > 100)
		held = 100 - used;
	row_begin(h, "18px 32px 0;");
	raw(h, TABLE "width=\"100%\" style=\"width:100%;table-layout:fixed;border-radius:6px;overflow:hidden\"><tr>");
	put_segment(h, "used", paint, used);
	put_segment(h, "held", "#8b95a5", held);
	put_segment(h, "rest", "#e3e6ea", 100 - used - held);
	raw(h, "</tr></table>");
	row_end(h);
}

static void put_rows(struct html *h, const struct email_rows *rows)
{
	row_begin(h, "20px 32px 0;");
	raw(h, TABLE "width=\"100%\" style=\"width:100%;" FONT "font-size:14px;line-height:20px\">\n");
	for (size_t i = 0; i < rows->n; i++) {
		raw(h, "<tr><td class=\"soft line label\" width=\"32%\" valign=\"top\" style=\"width:32%;padding:7px "
		       "12px 7px 0;"
		       "border-bottom:1px solid #e9ebef;color:#5d6776\">");
		value(h, rows->row[i].label);
		raw(h,
		    "</td><td class=\"ink line\" valign=\"top\" style=\"padding:7px 0;border-bottom:1px solid #e9ebef;"
		    "color:#1c2128;word-break:break-word\">");
		value(h, rows->row[i].value);
		raw(h, "</td></tr>\n");
	}
	raw(h, "</table>");
	row_end(h);
}

/* "ci-bot, gpt-5: 12.34 USD": what stands behind the last colon is the figure. */
static void put_line(struct html *h, const char *line)
{
	const char *split = NULL, *figure;
	char before[BRIEF_VALUE_MAX];

	for (const char *p = strstr(line, ": "); p; p = strstr(p + 2, ": "))
		split = p;
	figure = split ? split + 2 : "";
	(void)slice_to_cstr(slice_mem(line, split ? (size_t)(split - line) : strlen(line)), before, sizeof(before));
	raw(h,
	    "<tr><td class=\"ink line\" valign=\"top\" style=\"padding:7px 12px 7px 0;border-bottom:1px solid #e9ebef;"
	    "color:#1c2128;word-break:break-word\">");
	value(h, before);
	raw(h, "</td><td class=\"ink line\" align=\"right\" valign=\"top\" style=\"padding:7px 0;border-bottom:1px "
	       "solid #e9ebef;color:#1c2128;font-weight:600");
	raw(h, strlen(figure) <= FIGURE_WHOLE ? ";white-space:nowrap\">" : "\">");
	value(h, figure);
	raw(h, "</td></tr>\n");
}

static void put_lines(struct html *h, const struct brief *b)
{
	if (b->n_lines == 0)
		return;
	row_begin(h, "24px 32px 0;" FONT);
	raw(h, "<h2 class=\"ink\" style=\"margin:0 0 "
	       "4px;font-size:15px;line-height:20px;font-weight:700;color:#1c2128\">");
	value(h, b->lines_title);
	raw(h, "</h2>\n" TABLE "width=\"100%\" style=\"width:100%;" FONT "font-size:14px;line-height:20px\">\n");
	for (size_t i = 0; i < b->n_lines; i++)
		put_line(h, b->line[i]);
	raw(h, "</table>");
	row_end(h);
}

static void put_box(struct html *h, const char *title, const char *text, const char *style)
{
	if (!*text)
		return;
	row_begin(h, "22px 32px 0;");
	raw(h, TABLE
	    "width=\"100%\" style=\"width:100%\"><tr><td class=\"box\" bgcolor=\"#f4f5f7\" style=\"padding:12px 16px;"
	    "background-color:#f4f5f7;border-radius:6px;" FONT "\">\n<div class=\"soft\" style=\"font-size:12px;"
	    "line-height:16px;font-weight:700;color:#5d6776\">");
	value(h, title);
	raw(h, "</div>\n<div class=\"ink\" style=\"padding-top:3px;font-size:14px;line-height:21px;color:#1c2128;"
	       "word-break:break-word;");
	raw(h, style);
	raw(h, "\">");
	value(h, text);
	raw(h, "</div></td></tr></table>");
	row_end(h);
}

static void put_button(struct html *h, const struct brief_action *a, bool first)
{
	raw(h, first ? "<td class=\"main\" bgcolor=\"#1c2128\" style=\"border-radius:6px;background-color:#1c2128\">"
		     : "<td width=\"10\" style=\"width:10px;font-size:1px\">&nbsp;</td><td class=\"more\" "
		       "style=\"border-radius:6px;"
		       "border:1px solid #c3c9d2;background-color:#ffffff\">");
	raw(h, "<a href=\"");
	value(h, a->url);
	raw(h, first ? "\" class=\"main\" style=\"display:inline-block;padding:11px 20px;color:#ffffff;"
		     : "\" class=\"more\" style=\"display:inline-block;padding:10px 18px;color:#1c2128;");
	raw(h, FONT "font-size:14px;line-height:18px;font-weight:600;text-decoration:none;border-radius:6px\">");
	value(h, a->label);
	raw(h, "</a></td>");
}

static void put_buttons(struct html *h, const struct brief *b)
{
	if (b->n_actions == 0)
		return;
	row_begin(h, "24px 32px 0;");
	raw(h, TABLE "><tr>");
	for (size_t i = 0; i < b->n_actions; i++)
		put_button(h, &b->action[i], i == 0);
	raw(h, "</tr></table>");
	row_end(h);
}

static void put_footer(struct html *h, const struct brief *b)
{
	row_begin(h, "26px 32px 24px;" FONT);
	raw(h, "<div class=\"soft\" style=\"font-size:12px;line-height:18px;color:#5d6776;word-break:break-word\">");
	value(h, b->footer);
	raw(h, "</div>");
	row_end(h);
}

/* --- all of it ---------------------------------------------------------------------------------------------------- */

int email_html_make(const struct message *m, const struct email_rows *rows, struct buf *out)
{
	struct html h = {.out = out};
	const struct brief *b = m->brief;
	struct figures f;

	figures_read(m->facts, &f);
	raw(&h, head);
	raw(&h, "<title>");
	value(&h, b->title);
	raw(&h, "</title>\n");
	raw(&h, sheet);
	raw(&h, "<body class=\"bg\" "
		"style=\"margin:0;padding:0;background-color:#f3f4f6;-webkit-text-size-adjust:100%\">\n");
	put_preview(&h, b);
	raw(&h,
	    TABLE "width=\"100%\" class=\"bg\" bgcolor=\"#f3f4f6\" style=\"width:100%;background-color:#f3f4f6\"><tr>"
		  "<td class=\"page\" align=\"center\" style=\"padding:28px 12px\">\n" WIDTH_BEGIN TABLE
		  "width=\"600\" class=\"card\" bgcolor=\"#ffffff\" "
		  "style=\"width:100%;max-width:600px;background-color:#ffffff;"
		  "border:1px solid "
		  "#dfe3e8;border-radius:10px;overflow:hidden;border-collapse:separate;text-align:left\">\n");
	put_header(&h, m);
	put_text(&h, b);
	if (f.limited && m->op != SAY_TEST && m->op != SAY_DIGEST)
		put_bar(&h, b, &f);
	put_box(&h, "What happens next", b->next, "");
	put_buttons(&h, b);
	put_rows(&h, rows);
	put_lines(&h, b);
	put_box(&h, "To act on the command line", b->command, MONO "font-size:13px;");
	put_footer(&h, b);
	raw(&h, "</table>\n" WIDTH_END "</td></tr></table>\n</body>\n</html>\n");
	return h.r;
}
