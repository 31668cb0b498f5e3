// A visit and a call through the real program: a click on an advertisement, a number shown for it, a call of that number
// told by Twilio, and one row that joins them.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { launch } from './lib/bench.mjs';
import { pages } from './lib/collector.mjs';
import { Program, until } from './lib/program.mjs';
import { plumber } from './lib/site.mjs';

const skip = !process.env.CALLWEAVE_BIN && 'CALLWEAVE_BIN names no program';
const images = process.env.CALLWEAVE_IMAGES;
const OWN = '+14155550100';
const POOL = ['+14155550121', '+14155550122', '+14155550123'];
const CALLER = '+14155550188';
const PUBLIC = 'https://calls.example.com';
const TOKEN = 'the-auth-token-of-acme-at-twilio';
const QUERY = '?utm_source=google&utm_medium=cpc&utm_campaign=spring&utm_term=plumber&gclid=Cj0KCQiA-test';

let site, program, browser;

before(async () => {
    if (skip) return;
    site = await pages();
    const settings = {
        timezone: 'America/Los_Angeles',
        lateness_seconds: 1,
        target_seconds: 20,
        sites: [{ name: 'main', origins: [site.origin], heartbeat_seconds: 5, number_timeout_ms: 10000 }],
        numbers: POOL.map((number) => ({ number, kind: 'pool', pool: 'search', forward_to: OWN })),
        pools: [{ name: 'search', site: 'main', hold_minutes: 30, cooldown_minutes: 30, on_exhausted: 'share' }],
        routes: [{ site: 'main', source: 'google', medium: 'cpc', replaces: OWN, pool: 'search' }],
    };
    const configuration = `public_url = "${PUBLIC}"
[commit]
calls_ms = 100
bulk_ms = 300
[accounts.acme]
keys = ["the-key-of-acme-for-tests"]
settings = "acme.json"
twilio_auth_token = "${TOKEN}"
`;
    program = await Program.up(configuration, settings);
    const tag = `<script async src="${program.origin}/callweave.js" data-site="acme/main" data-replace="${OWN}"
        data-timeout="10000"></script>`;
    for (const [path, page] of plumber(tag)) site.all.set(path, page);
    browser = await launch();
});

after(async () => {
    await browser?.close();
    await program?.stop();
    await site?.close();
});

const viewport = { width: 720, height: 400 };

async function picture(page, name) {
    if (images) await page.screenshot({ path: join(images, `${name}.png`) });
}

/** A request as Twilio makes it. */
async function twilio(path, form) {
    const input = JSON.stringify({ token: TOKEN, url: PUBLIC + path, form });
    const python = join(process.env.CALLWEAVE_VENV, 'bin/python');
    const script = fileURLToPath(new URL('lib/sign.py', import.meta.url));
    const signature = execFileSync(python, [script], { input, encoding: 'utf8' }).trim();
    const answer = await fetch(program.origin + path, {
        method: 'POST',
        headers: { 'X-Twilio-Signature': signature },
        body: new URLSearchParams(form),
    });
    const text = await answer.text();
    assert.ok(answer.ok, `${answer.status} ${text}`);
    return text;
}

test('a click, a page, a number, a call, a row', { skip }, async () => {
    // The page as its owner wrote it.
    const plain = await browser.newContext({ javaScriptEnabled: false, viewport });
    const before = await plain.newPage();
    await before.goto(site.origin + '/');
    assert.equal(await before.locator('#top').textContent(), '(415) 555-0100');
    await picture(before, 'number-before');

    const context = await browser.newContext({ viewport });
    const page = await context.newPage();
    const errors = [];
    context.on('weberror', (error) => errors.push(String(error.error())));
    await page.goto(site.origin + '/' + QUERY);
    const changed = () => document.querySelector('#top').textContent !== '(415) 555-0100';
    await page.waitForFunction(changed, null, { timeout: 30000 });
    const href = await page.locator('#top').getAttribute('href');
    const number = href.slice('tel:'.length);
    assert.ok(POOL.includes(number), href);
    const last = number.slice(-2);
    assert.equal(await page.locator('#top').textContent(), `(415) 555-01${last}`);
    assert.equal(await page.locator('.call').textContent(), `Call 415 555 01${last}`);
    assert.equal(await page.locator('.call').getAttribute('href'), href);
    assert.match(await page.locator('footer').textContent(), new RegExp(`\\+1 415\\.555\\.01${last}, or 415-555-01${last} ext`));
    assert.match(await page.locator('footer').textContent(), /Fax \(415\) 555-0155/);
    await picture(page, 'number-after');

    // Around the site: the number stays, on the second page from the first frame on that has it.
    await page.click('#prices');
    await page.waitForURL('**/prices');
    await page.waitForFunction(changed);
    assert.equal(await page.locator('#top').getAttribute('href'), href);
    await page.evaluate(() => {
        addEventListener('click', (event) => event.preventDefault()); // nobody is called from here
        callweave('event', 'quote', { value: 90, currency: 'USD' });
    });
    await page.click('#top');
    await page.goto('about:blank');
    const events = await until('the web events', async () => {
        const rows = await program.sql("SELECT * FROM web_events WHERE name IN ('click_to_call', 'quote') ORDER BY name");
        return rows.length === 2 && rows;
    });
    assert.deepEqual(events.map((event) => [event.name, event.number ?? null]), [['click_to_call', number], ['quote', null]]);

    // Somebody else comes by no advertisement: the page keeps its own number.
    const other = await (await browser.newContext()).newPage();
    await other.goto(site.origin + '/');
    await until('the other visitor', async () => (await program.sql('SELECT * FROM page_views')).length === 3);
    assert.equal(await other.locator('#top').textContent(), '(415) 555-0100');

    // The call, as Twilio tells it.
    const call = { CallSid: 'CA00000000000000000000000000000001', AccountSid: 'AC00000000000000000000000000000000' };
    const form = { ...call, From: CALLER, To: number, Direction: 'inbound', ApiVersion: '2010-04-01' };
    const rang = Date.now();
    const twiml = await twilio('/v1/hooks/twilio/acme', { ...form, CallStatus: 'ringing' });
    assert.match(twiml, /<Dial/);
    assert.ok(twiml.includes(OWN), twiml);
    const action = /<Dial[^>]* action="([^"]+)"/.exec(twiml)?.[1].replaceAll('&amp;', '&');
    assert.ok(action, twiml);
    const dialled = { DialCallStatus: 'completed', DialCallSid: 'CA00000000000000000000000000000002', DialCallDuration: '42' };
    await twilio(action.replace(PUBLIC, ''), { ...form, ...dialled, CallStatus: 'in-progress' });
    // It tells when the call ended, in whole seconds, and how long it took: not that it began before it was there.
    const over = new Date(Math.ceil(rang / 1000 + 45) * 1000).toUTCString();
    await twilio('/v1/hooks/twilio/acme/status', { ...form, CallStatus: 'completed', CallDuration: '45', Timestamp: over });

    let rows = [];
    const row = await until(
        () => `the joined call: ${JSON.stringify(rows)}\n${program.said.join('\n')}`,
        async () => {
            rows = await program.sql('SELECT * FROM calls');
            return rows.find((row) => row.tracking_number === number && row.session_id && row.outcome);
        },
    );
    // Each table lands by itself: the session may be there a moment after the call that names it.
    const session = await until('the session', async () => {
        const [found] = await program.sql(`SELECT * FROM sessions WHERE session_id = '${row.session_id}'`);
        return found;
    });
    const views = await program.sql(`SELECT url FROM page_views WHERE session_id = '${row.session_id}' ORDER BY time`);
    assert.deepEqual(views.map((view) => view.url), [`${site.origin}/${QUERY}`, `${site.origin}/prices`]);
    assert.equal(session.visitor_id, row.visitor_id);
    const found = Object.fromEntries(Object.keys(EXPECTED).map((name) => [name, row[name]]));
    assert.deepEqual(found, {
        ...EXPECTED,
        tracking_number: number,
        landing_page: `${site.origin}/${QUERY}`,
        call_page: `${site.origin}/prices`,
    });
    assert.ok(row.attribution_confidence > 0.9, `${row.attribution_confidence}`);
    assert.deepEqual(errors, []);
});

/** What the row says of the call and of the visit. */
const EXPECTED = {
    caller: CALLER,
    tracking_number: '',
    destination: OWN,
    outcome: 'answered',
    attribution_method: 'lease',
    pool: 'search',
    channel: 'Paid Search',
    source: 'google',
    medium: 'cpc',
    campaign: 'spring',
    term: 'plumber',
    click_id_type: 'gclid',
    click_id: 'Cj0KCQiA-test',
    landing_page: '',
    call_page: '',
    session_pages: 2,
};
