// make-prices.mjs - conf/prices.json from the npm package @pydantic/genai-prices and conf/prices-overlay.json.
//
//   node tools/make-prices.mjs PATH/TO/@pydantic/genai-prices > conf/prices.json
//
// The same inputs give the same bytes. Nothing of node is needed at run time. Models with a price this book has no unit
// for are left out and named on stderr: dropping the price would make them too cheap.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const PROVIDERS = ['openai', 'anthropic', 'google'];

const UNITS = {
	input_mtok: 'in',
	output_mtok: 'out',
	cache_read_mtok: 'cr',
	cache_write_mtok: 'cw',
	cache_write_1h_mtok: 'cw1h',
	input_audio_mtok: 'in_audio',
	cache_audio_read_mtok: 'cr_audio',
	output_audio_mtok: 'out_audio',
	input_image_mtok: 'in_image',
	cache_image_read_mtok: 'cr_image',
	output_image_mtok: 'out_image',
	requests_kcount: 'req',
	web_searches_kcount: 'web',
	storage_searches_kcount: 'file',
};

class Unsupported extends Error {}

function decimal(n) {
	const s = String(n);
	if (!(n >= 0) || /e/i.test(s))
		throw new Unsupported(`price ${s}`);
	return s;
}

// --- matching rules --------------------------------------------------------------------------------------------------

const unescapeRegex = (s) => s.replace(/\\(.)/g, '$1');

function fromRegex(re) {
	const dated = re.match(/^\^((?:[a-z0-9@:_-]|\\.)+)-(?:\\d\{4\}-\\d\{2\}-\\d\{2\}|\\d\{8\})\$$/);
	if (dated)
		return [['dated', unescapeRegex(dated[1])]];
	const digit = re.match(/^\^((?:[a-z0-9@:_-]|\\[.-])+-)\\d$/);
	if (digit)
		return [...'0123456789'].map((d) => ['starts_with', unescapeRegex(digit[1]) + d]);
	throw new Unsupported(`regex ${re}`);
}

// "starts with this, and is no -tts model" is the only conjunction in use.
function fromAnd(parts) {
	const start = parts.find((p) => 'starts_with' in p);
	const not = parts.find((p) => 'regex' in p);
	if (parts.length !== 2 || !start || !not || not.regex !== '^(?!.*-[tT][tT][sS](?:$|-))')
		throw new Unsupported(`and ${JSON.stringify(parts)}`);
	return [['starts_with', start.starts_with.toLowerCase(), '-tts']];
}

function fromRule(rule) {
	const [[op, arg], ...rest] = Object.entries(rule);
	if (rest.length > 0)
		throw new Unsupported(`rule ${JSON.stringify(rule)}`);
	switch (op) {
	case 'or':
		return arg.flatMap(fromRule);
	case 'and':
		return fromAnd(arg);
	case 'equals':
		return [['eq', arg.toLowerCase()]];
	case 'starts_with':
	case 'ends_with':
	case 'contains':
		return [[op, arg.toLowerCase()]];
	case 'regex':
		return fromRegex(arg);
	default:
		throw new Unsupported(`rule ${op}`);
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

function rowsOf(prices, from) {
	for (const key of Object.keys(prices))
		if (!(key in UNITS))
			throw new Unsupported(`unit ${key}`);
	return thresholds(prices).map((over) => {
		const rates = {};
		for (const [key, unit] of Object.entries(UNITS))
			if (key in prices)
				rates[unit] = decimal(rateAt(prices[key], over));
		return { ...(from ? { from } : {}), ...(over > 0 ? { over } : {}), rates };
	});
}

function allRows(prices) {
	if (!Array.isArray(prices))
		return rowsOf(prices, null);
	return prices.flatMap(({ constraint, prices: p }) => {
		if (constraint && constraint.type !== 'start_date')
			throw new Unsupported(`constraint ${constraint.type}`);
		return rowsOf(p, constraint ? constraint.start_date : null);
	});
}

// --- models ----------------------------------------------------------------------------------------------------------

function overlayFor(overlay, provider, id, used) {
	const set = {};
	overlay.rules.forEach((rule, i) => {
		if (rule.provider !== provider)
			return;
		if (!(rule.ids?.includes(id) || (rule.id_pattern && new RegExp(rule.id_pattern).test(id))))
			return;
		if (!rule.source)
			throw new Error(`overlay rule ${i} names no source`);
		used.add(`${i}/${rule.ids ? id : '*'}`);
		Object.assign(set, rule.set);
	});
	return set;
}

function modelOf(provider, model, overlay, used) {
	const rows = allRows(model.prices);
	if (rows.length === 0 || rows.some((r) => Object.keys(r.rates).length === 0))
		throw new Unsupported('no price');
	const set = overlayFor(overlay, provider, model.id.toLowerCase(), used);
	const ctx = model.context_window;
	return {
		id: model.id.toLowerCase(),
		...(ctx ? { ctx } : {}),
		// the context is a bound of the answer too, if a weak one
		...(set.max_out || ctx ? { max_out: set.max_out ?? ctx } : {}),
		...(set.image_max ? { image_max: set.image_max } : {}),
		...(set.hides_reasoning ? { hides_reasoning: true } : {}),
		...(set.multipliers ? { multipliers: set.multipliers } : {}),
		match: fromRule(model.match),
		prices: rows,
	};
}

function checkOverlap(provider, models) {
	const owner = new Map();
	for (const m of models)
		for (const [op, text] of m.match) {
			const key = `${op}/${text}`;
			if (owner.has(key) && owner.get(key) !== m.id)
				throw new Error(`${provider}: ${key} matches ${owner.get(key)} and ${m.id}`);
			owner.set(key, m.id);
		}
}

function providerOf(p, overlay, used) {
	const models = [];
	for (const model of p.models) {
		try {
			models.push(modelOf(p.id, model, overlay, used));
		} catch (e) {
			if (!(e instanceof Unsupported))
				throw e;
			console.error(`left out ${p.id}/${model.id}: ${e.message}`);
		}
	}
	checkOverlap(p.id, models);
	return { id: p.id, multipliers: overlay.providers[p.id].multipliers, models };
}

function checkOverlayUse(overlay, used) {
	overlay.rules.forEach((rule, i) => {
		for (const id of rule.ids ?? ['*'])
			if (!used.has(`${i}/${id}`))
				console.error(`overlay rule ${i}: nothing is called ${id}`);
	});
}

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

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const packageDir = process.argv[2];
if (!packageDir) {
	console.error('usage: node tools/make-prices.mjs PATH/TO/@pydantic/genai-prices > conf/prices.json');
	process.exit(2);
}
const info = JSON.parse(readFileSync(join(packageDir, 'package.json'), 'utf8'));
const dist = join(packageDir, 'dist', 'index.js');
const { waitForUpdate } = await import(pathToFileURL(resolve(dist)).href);
const data = await waitForUpdate(); // without an update configured: the data of the package itself
const overlay = JSON.parse(readFileSync(join(root, 'conf', 'prices-overlay.json'), 'utf8'));
const used = new Set();
const providers = PROVIDERS.map((id) => providerOf(data.find((p) => p.id === id), overlay, used));
checkOverlayUse(overlay, used);
print({
	format: 'bursar-prices/1',
	version: overlay.version,
	currency: 'USD',
	generated: overlay.reviewed,
	sources: [
		{
			name: info.name,
			version: info.version,
			licence: 'MIT',
			copyright: 'Copyright (c) Pydantic Services Inc. 2025 to present',
			sha256: createHash('sha256').update(readFileSync(dist)).digest('hex'),
		},
		{ name: 'conf/prices-overlay.json', reviewed: overlay.reviewed },
	],
	providers,
});
