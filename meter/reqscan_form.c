/* Requests that carry files are forms: the fields that matter are read like the keys of a body. */
#include "base/error.h"
#include "meter/reqscan_places.h"

#define BIT(id) ((reqscan_set)1 << (id))
/* May stand more than once: pictures, files. */
#define REPEATED (BIT(ID_NONE) | BIT(ID_UPLOAD) | BIT(ID_UPLOAD_IMAGE) | BIT(ID_REMOTE_FILE))

void reqscan_form_begin(struct reqscan *s, struct slice content_type)
{
	s->is_form = true;
	s->form_bad =
	    (s->kind != API_IMAGES && s->kind != API_TRANSCRIPTIONS) || multipart_init(&s->form, content_type) < 0;
}

static bool is_upload(uint8_t id)
{
	return id == ID_UPLOAD || id == ID_UPLOAD_IMAGE;
}

static int part_begin(struct reqscan *s)
{
	uint8_t id = reqscan_form_field(s->kind, slice_of(s->form.name));

	/* a field that is a file to one reader and text to another */
	if (id != ID_NONE && s->form.is_file && !is_upload(id))
		return reqscan_fail(s, REQSCAN_BAD_VALUE, slice_of(s->form.name));
	if (!(REPEATED & BIT(id)) && (s->seen[0] & BIT(id)))
		return reqscan_fail(s, REQSCAN_DUPLICATE_KEY, slice_of(s->form.name));
	s->seen[0] |= BIT(id);
	s->field = s->form.is_file && id == ID_NONE ? ID_UPLOAD : id;
	s->field_n = 0;
	s->field_cut = false;
	if (s->field == ID_UPLOAD_IMAGE)
		image_sniff_init(&s->sniff);
	return BUR_OK;
}

static void part_data(struct reqscan *s, struct slice data)
{
	size_t room = REQSCAN_FIELD_MAX - s->field_n, n = data.n < room ? data.n : room;

	if (is_upload(s->field))
		s->info.upload_bytes += data.n;
	if (s->field == ID_UPLOAD_IMAGE) {
		s->info.image_bytes += data.n;
		image_sniff_bytes(&s->sniff, data.p, data.n);
	}
	memcpy(s->field_text + s->field_n, data.p, n);
	s->field_n = (uint16_t)(s->field_n + n);
	s->field_cut |= n < data.n;
}

static int bad_field(struct reqscan *s)
{
	return reqscan_fail(s, REQSCAN_BAD_VALUE, slice_of(s->form.name));
}

static int take_stream(struct reqscan *s, struct slice text)
{
	static const struct {
		const char *word;
		bool value;
	} words[] = {{"true", true}, {"1", true}, {"false", false}, {"0", false}, {"", false}};

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (slice_ieq(text, slice_of(words[i].word))) {
			s->info.stream = words[i].value;
			return BUR_OK;
		}
	}
	return bad_field(s);
}

static int take_number(struct reqscan *s, struct slice text)
{
	uint64_t v = 0;

	if (text.n == 0)
		return BUR_OK;
	if (slice_u64(text, &v) < 0 || (s->field == ID_PARTIAL_IMAGES && v > UINT8_MAX))
		return bad_field(s);
	if (s->field == ID_N)
		reqscan_take_candidates(s, v);
	else
		s->info.partial_images = (uint8_t)v;
	return BUR_OK;
}

static void take_picture(struct reqscan *s)
{
	uint32_t w, h;

	s->info.images++;
	if (image_sniff_size(&s->sniff, &w, &h))
		image_sums_add(&s->info.image_sums, w, h, DETAIL_AUTO);
}

static int part_end(struct reqscan *s)
{
	struct slice text = slice_mem(s->field_text, s->field_n);

	if (s->field_cut && s->field != ID_NONE && !is_upload(s->field) && s->field != ID_REMOTE_FILE)
		return bad_field(s);
	switch ((enum reqscan_id)s->field) {
	case ID_MODEL:
		return text.n == 0 ? bad_field(s) : reqscan_take_model(s, text, false);
	case ID_STREAM:
		return take_stream(s, text);
	case ID_N:
	case ID_PARTIAL_IMAGES:
		return take_number(s, text);
	case ID_SIZE:
		return reqscan_take_size(s, text);
	case ID_QUALITY:
		reqscan_take_quality(s, text);
		return BUR_OK;
	case ID_RESPONSE_FORMAT:
		reqscan_take_format(s, text);
		return BUR_OK;
	case ID_TIER:
		(void)slice_to_cstr(text, s->info.service_tier, sizeof(s->info.service_tier));
		return BUR_OK;
	case ID_UPLOAD_IMAGE:
		take_picture(s);
		return BUR_OK;
	case ID_REMOTE_FILE:
		s->info.files++;
		s->info.remote_parts = true;
		return BUR_OK;
	default:
		return BUR_OK;
	}
}

int reqscan_form_feed(struct reqscan *s, const char *p, size_t n)
{
	struct slice data;
	size_t i = 0;
	int r = s->form_bad ? reqscan_fail(s, REQSCAN_NOT_FORM, SLICE_NONE) : BUR_OK;

	while (r == BUR_OK) {
		switch (multipart_next(&s->form, p, n, &i, &data)) {
		case MULTIPART_MORE:
			return BUR_OK;
		case MULTIPART_PART:
			r = part_begin(s);
			break;
		case MULTIPART_DATA:
			part_data(s, data);
			break;
		case MULTIPART_PART_END:
			r = part_end(s);
			break;
		case MULTIPART_ERROR:
			r = reqscan_fail(s, REQSCAN_NOT_FORM, SLICE_NONE);
			break;
		}
	}
	return r;
}

int reqscan_form_finish(struct reqscan *s)
{
	if (s->form_bad || !multipart_complete(&s->form))
		return reqscan_fail(s, REQSCAN_NOT_FORM, SLICE_NONE);
	return BUR_OK;
}
