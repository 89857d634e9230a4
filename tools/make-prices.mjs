// make-prices.mjs - the price book from the npm package @pydantic/genai-prices and conf/prices-overlay.json.
//
//   node tools/make-prices.mjs [PACKAGE_FOLDER] > prices.json
//   node tools/make-prices.mjs [PACKAGE_FOLDER] --compare LITELLM.json     where that map says something else
//
// The same inputs give the same bytes. Nothing of node is needed at run time. What is not understood ends the program:
// a price or a rule that is dropped makes something too cheap. Format of the book: docs/prices.md.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

// Price keys of the package, in the units of the book (price/unit.h).
const UNITS = {
	input_mtok: 'in',
	output_mtok: 'out',
	cache_read_mtok: 'cr',
	cache_write_mtok: 'cw',
	cache_write_5m_mtok: 'cw5m',
	cache_write_1h_mtok: 'cw1h',
	input_audio_mtok: 'in_audio',
	input_image_mtok: 'in_image',
	input_video_mtok: 'in_video',
	input_text_mtok: 'in_text',
	cache_audio_read_mtok: 'cr_audio',
	cache_image_read_mtok: 'cr_image',
	cache_video_read_mtok: 'cr_video',
	cache_text_read_mtok: 'cr_text',
	output_audio_mtok: 'out_audio',
	output_image_mtok: 'out_image',
	output_video_mtok: 'out_video',
	output_text_mtok: 'out_text',
	output_reasoning_mtok: 'out_reasoning',
	output_citation_mtok: 'out_citation',
	input_mchars: 'chars',
	input_gpixels: 'px',
	audio_hours: 'audio_ms',
	input_audio_hours: 'in_audio_ms',
	output_audio_hours: 'out_audio_ms',
	requests_kcount: 'req',
	web_searches_kcount: 'web',
	storage_searches_kcount: 'file',
	social_searches_kcount: 'social',
	code_executions_kcount: 'code',
	rerank_searches_kcount: 'rerank',
	input_document_kpages: 'pages',
	input_annotated_document_kpages: 'pages_annotated',
	input_text_messages_kcount: 'msgs',
};
// In the order of unit.h, so that books differ only where prices do.
const ORDER = [
	'in', 'out', 'cr', 'cw', 'cw5m', 'cw1h', 'in_audio', 'in_image', 'in_video', 'in_text', 'cr_audio', 'cr_image',
	'cr_video', 'cr_text', 'out_audio', 'out_image', 'out_video', 'out_text', 'out_reasoning', 'out_citation', 'chars',
	'px', 'audio_ms', 'in_audio_ms', 'out_audio_ms', 'req', 'web', 'file', 'social', 'code', 'rerank', 'pages',
	'pages_annotated', 'msgs', 'img', 'sec',
];
const FIRST_FEE = ORDER.indexOf('req');

const fail = (what) => {
	console.error(`make-prices: ${what}`);
	process.exit(1);
};

// --- exact decimals --------------------------------------------------------------------------------------------------

// A number as decimal text without exponent.
function decimal(n) {
	const m = String(n).match(/^(\d+)(?:\.(\d+))?(?:e-(\d+))?$/);
	if (!m)
		fail(`the price ${n} is no plain number`);
	const shift = Number(m[3] ?? 0), digits = m[1] + (m[2] ?? '');
	const point = m[1].length - shift;
	return point > 0 ? trim(`${digits.slice(0, point)}.${digits.slice(point)}`) : trim(`0.${'0'.repeat(-point)}${digits}`);
}

const trim = (s) => (s.includes('.') ? s.replace(/0+$/, '').replace(/\.$/, '') : s);
const scaled = (s) => ({ n: BigInt(s.replace('.', '')), d: (s.split('.')[1] ?? '').length });

function times(a, b) {
	const x = scaled(a), y = scaled(b), d = x.d + y.d;
	const s = (x.n * y.n).toString().padStart(d + 1, '0');
	return d > 0 ? trim(`${s.slice(0, -d)}.${s.slice(-d)}`) : s;
}

const sorted = (rates) => Object.fromEntries(ORDER.filter((u) => u in rates).map((u) => [u, rates[u]]));

// --- matching rules --------------------------------------------------------------------------------------------------

// JavaScript to POSIX; our patterns are anchored at both ends and names are in lower case.
function fromRegex(re) {
	const not = re.match(/^\^\(\?!(.*)\)$/);
	if (not)
		return ['not', ['re', posix(not[1]) + (not[1].endsWith('$') ? '' : '.*')]];
	const head = re.startsWith('^') ? '' : '.*', tail = re.endsWith('$') ? '' : '.*';
	return ['re', head + posix(re.replace(/^\^/, '').replace(/\$$/, '')) + tail];
}

function posix(re) {
	const out = re
		.replace(/\[([a-z])([A-Z])\]/g, (all, a, b) => (a === b.toLowerCase() ? a : all))
		.replace(/\(\?:\$\|-\)$/, '(-.*)?')
		.replace(/\(\?:/g, '(')
		.replace(/\\d/g, '[0-9]');
	if (/\\[a-zA-Z0-9]|\(\?|[A-Z]|\$|(?<!\[)\^|[*+]\?/.test(out))
		fail(`the pattern ${re} cannot be written as a POSIX one`);
	return out;
}

const OPS = { equals: 'eq', starts_with: 'starts_with', ends_with: 'ends_with', contains: 'contains' };

function fromRule(rule) {
	const [[op, arg], ...rest] = Object.entries(rule);
	if (rest.length > 0)
		fail(`the rule ${JSON.stringify(rule)} has more than one operation`);
	if (op === 'or' || op === 'and')
		return [op, ...arg.map(fromRule)];
	if (op === 'regex')
		return fromRegex(arg);
	return op in OPS ? [OPS[op], arg.toLowerCase()] : fail(`unknown rule ${op}`);
}

const topRules = (rule) => ('or' in rule ? rule.or.flatMap(topRules) : [fromRule(rule)]);

function matches([op, ...args], name) {
	switch (op) {
	case 'eq': return name === args[0];
	case 're': return new RegExp(`^(${args[0]})$`).test(name);
	case 'starts_with': return name.startsWith(args[0]);
	case 'ends_with': return name.endsWith(args[0]);
	case 'contains': return name.includes(args[0]);
	case 'and': return args.every((r) => matches(r, name));
	case 'or': return args.some((r) => matches(r, name));
	case 'not': return !matches(args[0], name);
	default: return fail(`unknown operation ${op}`);
	}
}

// Names that a rule lets through, to try all other rules on.
function samples([op, ...args]) {
	switch (op) {
	case 'eq': return args;
	case 're': return [args[0].replace(/\[0-9\]\{(\d)\}/g, (all, n) => '2'.repeat(n)).replace(/\[0-9\]/g, '2').replace(/\\/g, '').replace(/\.\*$/, '')];
	case 'starts_with': return ['', '-latest', '-preview', '-20260101', '-2026-01-01'].map((s) => args[0] + s);
	case 'ends_with': return [args[0], `x/${args[0]}`];
	case 'contains': return [args[0], `x/${args[0]}`, `${args[0]}-2026-01-01`, `us.${args[0]}-v1:0`];
	default: return args.filter((a) => a[0] !== 'not').flatMap(samples);
	}
}

// One name must not mean two models of a provider: the order of rules would decide about money.
function checkOverlap(provider, models) {
	for (const model of models)
		for (const name of model.match.flatMap(samples)) {
			const owners = models.filter((m) => m.match.some((r) => matches(r, name)));
			const exact = owners.filter((m) => m.match.some((r) => r[0] === 'eq' && r[1] === name));
			if ((exact.length || owners.length) > 1)
				fail(`${provider}: ${name} is ${owners.map((m) => m.id).join(' and ')}`);
		}
}

// --- prices ----------------------------------------------------------------------------------------------------------

function thresholds(prices) {
	const starts = new Set([0]);
	for (const p of Object.values(prices))
		if (typeof p === 'object')
			p.tiers.forEach((t) => starts.add(t.start));
	return [...starts].sort((a, b) => a - b);
}

// The price in force over `start` tokens of input. All known tiers are cliffs: they re-rate the whole request.
function rateAt(price, start) {
	if (typeof price !== 'object')
		return price;
	const reached = price.tiers.filter((t) => t.start <= start).sort((a, b) => a.start - b.start);
	return reached.length > 0 ? reached[reached.length - 1].price : price.base;
}

function rowsOf(prices, when, where) {
	const unknown = Object.keys(prices).find((key) => !(key in UNITS));
	if (unknown)
		fail(`${where}: unknown price ${unknown}`);
	return thresholds(prices).map((over) => ({
		...when,
		...(over > 0 ? { over } : {}),
		rates: sorted(Object.fromEntries(Object.entries(prices).map(([key, p]) => [UNITS[key], decimal(rateAt(p, over))]))),
	}));
}

// The package takes the last listed entry that applies; our rows get the dates that say the same.
function whenOf(list, i, where) {
	const date = (e) => (e.constraint?.type === 'start_date' ? e.constraint.start_date : null);
	const { constraint } = list[i];
	if (i > 0 && !constraint)
		fail(`${where}: an entry without condition behind others`);
	if (constraint && constraint.type !== 'start_date' && constraint.type !== 'time_of_date')
		fail(`${where}: unknown condition ${constraint.type}`);
	const from = date(list[i]) ?? list.slice(0, i).map(date).filter(Boolean).sort().pop() ?? null;
	const to = list.slice(i + 1).map(date).filter(Boolean).sort()[0] ?? null;
	const tod = constraint?.type === 'time_of_date' ? [constraint.start_time, constraint.end_time].map(minute) : null;
	return { ...(from ? { from } : {}), ...(to ? { to } : {}), ...(tod ? { tod } : {}) };
}

function minute(time) {
	const m = time.match(/^(\d\d:\d\d):00Z$/);
	return m ? m[1] : fail(`the time of day ${time} is not in whole minutes of UTC`);
}

function allRows(prices, where) {
	const list = Array.isArray(prices) ? prices : [{ prices }];
	return list.flatMap((entry, i) => {
		const when = whenOf(list, i, where);
		return when.to && when.to <= (when.from ?? '') ? [] : rowsOf(entry.prices, when, where);
	});
}

// --- overlay ---------------------------------------------------------------------------------------------------------

const names = (rule, id) => rule.ids?.includes(id) || (rule.id_pattern && new RegExp(rule.id_pattern).test(id));

function rulesFor(overlay, provider, id) {
	const found = overlay.rules.filter((r) => (r.provider === provider || r.provider === '*') && names(r, id));
	for (const rule of found) {
		rule.used ??= new Set();
		rule.used.add(rule.ids ? id : '*');
	}
	return found;
}

function checkOverlay(overlay) {
	for (const entry of [...Object.values(overlay.providers), ...overlay.rules, ...overlay.models])
		if (!entry.source)
			fail(`an overlay entry names no source: ${JSON.stringify(entry).slice(0, 120)}`);
}

function checkOverlayUse(overlay) {
	for (const rule of overlay.rules)
		for (const id of rule.ids ?? ['*'])
			if (!rule.used?.has(id))
				fail(`overlay: nothing of ${rule.provider} is called ${rule.ids ? id : rule.id_pattern}`);
}

// {"*": "0.5", "cr": "1", "rates": {…}}: multiples of the standard rates, and rates that are no multiple. Fees are
// multiplied only by name.
function serviceRows(rows, service, how) {
	return rows.map(({ rates, ...when }) => {
		const own = {};
		for (const [unit, rate] of Object.entries(rates)) {
			const by = how[unit] ?? (ORDER.indexOf(unit) < FIRST_FEE ? how['*'] : null);
			if (by)
				own[unit] = times(rate, by);
		}
		return { ...when, service, rates: sorted({ ...own, ...(when.over ? {} : how.rates) }) };
	});
}

function withRules(model, rules) {
	const out = { ...model };
	for (const rule of rules) {
		for (const [key, value] of Object.entries(rule.set ?? {}))
			out[key] = key === 'multipliers' ? { ...out.multipliers, ...value } : value;
		if (rule.rates)
			out.prices = out.prices.map((row) => ({ ...row, rates: sorted({ ...rule.rates, ...row.rates }) }));
	}
	const standard = out.prices.filter((row) => !row.service);
	for (const [service, how] of Object.entries(Object.assign({}, ...rules.map((r) => r.services))))
		out.prices = [...out.prices, ...serviceRows(standard, service, how)];
	return out;
}

// --- models ----------------------------------------------------------------------------------------------------------

const FREE = { rates: { in: '0', out: '0' } };

// Null: nobody knows its price.
function modelOf(provider, model, overlay) {
	const id = model.id.toLowerCase(), where = `${provider}/${id}`;
	const rules = rulesFor(overlay, provider, id);
	const rows = allRows(model.prices, where).filter((row) => Object.keys(row.rates).length > 0);
	if (rows.length === 0 && !rules.some((r) => r.free))
		return null;
	const ctx = model.context_window;
	return withRules({
		id,
		...(ctx ? { ctx, max_out: ctx } : {}), // the context is a bound of the answer too, if a weak one
		match: topRules(model.match),
		prices: rows.length > 0 ? rows : [FREE],
	}, rules);
}

// Hosts of the package's pattern: a plain name, or a pattern for "host/path".
function hostsOf(pattern) {
	if (!pattern)
		return {};
	const rest = pattern.replace(/^\(https\?:\/\/\)\?/, '').replace(/^https:\/\//, '');
	const open = rest.replace(/\((?:\?:)?\/\|\$\)$/, '');
	if (/^([a-z0-9-]|\\\.)+$/.test(open) && !open.endsWith('.'))
		return { hosts: [open.replace(/\\/g, '')] };
	return { host_re: [posix(open) + (open.endsWith('\\.') ? '.*' : '(/.*)?')] };
}

function providerOf(p, overlay, left) {
	const extra = overlay.providers[p.id] ?? {}, added = overlay.models.filter((m) => m.provider === p.id);
	const ids = new Set(added.map((m) => m.model.id));
	const models = [];
	for (const model of p.models) {
		const made = ids.has(model.id.toLowerCase()) ? null : modelOf(p.id, model, overlay);
		if (made)
			models.push(made);
		else
			left.push(`${p.id}/${model.id}`);
	}
	for (const { model } of added)
		models.push(withRules({ ...model }, rulesFor(overlay, p.id, model.id)));
	models.sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
	checkOverlap(p.id, models);
	return {
		id: p.id,
		...(extra.names ? { names: extra.names } : {}),
		...hostsOf(p.api_pattern),
		...(extra.host_re ? { host_re: extra.host_re } : {}),
		...(p.fallback_model_providers ? { fallback: p.fallback_model_providers } : {}),
		...(extra.multipliers ? { multipliers: extra.multipliers } : {}),
		models,
	};
}

// --- the book --------------------------------------------------------------------------------------------------------

// One model a line, so that a change of price is a change of one line.
function print(book) {
	const { providers, ...head } = book;
	const lines = Object.entries(head).map(([k, v]) => ` ${JSON.stringify(k)}:${JSON.stringify(v)},`);
	const body = providers.map(({ models, ...p }) => {
		const inner = models.map((m) => `   ${JSON.stringify(m)}`).join(',\n');
		return `  {${JSON.stringify(p).slice(1, -1)},"models":[\n${inner}]}`;
	});
	process.stdout.write(`{\n${lines.join('\n')}\n "providers":[\n${body.join(',\n')}]}\n`);
}

function bookOf(data, overlay, info, sha256) {
	const left = [];
	const known = new Set(data.map((p) => p.id));
	const own = [...new Set(overlay.models.map((m) => m.provider))].filter((id) => !known.has(id));
	const all = [...data, ...own.map((id) => ({ id, models: [] }))];
	const providers = all.map((p) => providerOf(p, overlay, left));
	checkOverlayUse(overlay);
	if (left.length > 0)
		console.error(`make-prices: without a price, and so not in the book: ${left.join(' ')}`);
	return {
		format: 'bursar-prices/1',
		currency: 'USD',
		generated: overlay.reviewed,
		sources: [
			{
				name: info.name,
				version: info.version,
				licence: 'MIT',
				copyright: 'Copyright (c) Pydantic Services Inc. 2025 to present',
				sha256,
			},
			{ name: 'conf/prices-overlay.json', reviewed: overlay.reviewed },
		],
		providers,
	};
}

// --- comparison ------------------------------------------------------------------------------------------------------

const LITELLM_PROVIDERS = {
	openai: 'openai', anthropic: 'anthropic', gemini: 'google', 'vertex_ai-language-models': 'google', mistral: 'mistral',
	xai: 'x-ai', deepseek: 'deepseek', groq: 'groq', cohere_chat: 'cohere', bedrock: 'aws', bedrock_converse: 'aws',
	azure: 'azure', azure_ai: 'azure', openrouter: 'openrouter', fireworks_ai: 'fireworks', together_ai: 'together',
	perplexity: 'perplexity', cerebras: 'cerebras', moonshot: 'moonshotai',
};
const LITELLM_KEYS = {
	input_cost_per_token: 'in', output_cost_per_token: 'out', cache_read_input_token_cost: 'cr',
	cache_creation_input_token_cost: 'cw', cache_creation_input_token_cost_above_1hr: 'cw1h',
};
const LITELLM_SERVICES = { '': 'standard', _flex: 'flex', _priority: 'priority', _batches: 'batch' };

function rateOf(provider, model, service, unit, today) {
	const rows = model.prices.filter((r) => !r.over && !r.tod && (r.from ?? '') <= today && (!r.to || r.to > today));
	const pick = (s) => rows.filter((r) => (r.service ?? 'standard') === s).pop()?.rates[unit];
	const by = { ...provider.multipliers, ...model.multipliers }[service];
	return pick(service) ?? (pick('standard') && by ? times(pick('standard'), by) : pick('standard'));
}

function compare(book, file) {
	let n = 0;
	for (const [key, entry] of Object.entries(JSON.parse(readFileSync(file, 'utf8')))) {
		const provider = book.providers.find((p) => p.id === LITELLM_PROVIDERS[entry.litellm_provider]);
		const name = key.replace(/^(openai|gemini|vertex_ai|mistral|xai|deepseek|groq|azure|azure_ai|openrouter|fireworks_ai|together_ai|perplexity|cerebras|moonshot)\//, '');
		const model = provider?.models.find((m) => m.match.some((r) => matches(r, name.toLowerCase())));
		if (!model)
			continue;
		for (const [suffix, service] of Object.entries(LITELLM_SERVICES))
			for (const [field, unit] of Object.entries(LITELLM_KEYS)) {
				const theirs = entry[field + suffix];
				if (!theirs)
					continue;
				const ours = rateOf(provider, model, service, unit, book.generated) ?? '-';
				if (Math.abs(Number(ours) - theirs * 1e6) <= 1e-6 * theirs * 1e6)
					continue;
				console.log(`${provider.id}\t${name}\t${service}\t${unit}\tours ${ours}\ttheirs ${decimal(Number((theirs * 1e6).toPrecision(9)))}`);
				n++;
			}
	}
	console.log(`${n} differences`);
}

// --- main ------------------------------------------------------------------------------------------------------------

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const args = process.argv.slice(2);
const compareAt = args.indexOf('--compare');
const litellm = compareAt >= 0 ? args.splice(compareAt, 2)[1] : null;
const folder = resolve(args[0] ?? join(root, 'build/data/node_modules/@pydantic/genai-prices'));
const overlay = JSON.parse(readFileSync(join(root, 'conf/prices-overlay.json'), 'utf8'));
const info = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
const dist = join(folder, 'dist/index.js');
const sha256 = createHash('sha256').update(readFileSync(dist)).digest('hex');
checkOverlay(overlay);
if (info.version !== overlay.package.version || sha256 !== overlay.package.sha256)
	fail(`${folder} is version ${info.version}, sha256 ${sha256}; conf/prices-overlay.json was reviewed for ` +
		`${overlay.package.version}, ${overlay.package.sha256}`);
const { waitForUpdate } = await import(pathToFileURL(dist).href);
const book = bookOf(await waitForUpdate(), overlay, info, sha256); // no update is configured: the package's own data
if (litellm)
	compare(book, litellm);
else
	print(book);
