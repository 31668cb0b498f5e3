// Nothing is stored or sent without leave.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bench } from './lib/bench.mjs';

const it = bench();
const OWN_TEXT = '(415) 555-0100';
const TEXT = `<p id="text">${OWN_TEXT}</p><a href="tel:+14155550100" onclick="event.preventDefault()">call</a>`;
const SHOWN = '(415) 555-0123';
const REQUIRED = 'data-consent="required"';
const gtag = 'window.dataLayer = window.dataLayer || []; function gtag() { dataLayer.push(arguments) }\n';

const ready = (page) => page.waitForFunction(() => window.callweave?.on);
const stored = (page) =>
    page.evaluate(() => [document.cookie, Object.keys(localStorage), Object.keys(sessionStorage)].flat().join(' ').trim());

/** Does what visitors do, and sees that nothing of it was sent or stored. */
async function silent(page) {
    await ready(page);
    await page.click('a');
    await page.evaluate(() => {
        callweave('event', 'x');
        history.pushState({}, '', '/x');
    });
    await page.waitForTimeout(400);
    assert.deepEqual(it.collector.requests, []);
    assert.equal(await stored(page), '');
    assert.equal(await it.text(page, '#text'), OWN_TEXT);
    assert.deepEqual(it.errors, []);
}

test('with data-consent nothing is stored or sent before consent, and all after', async () => {
    const page = await it.open(TEXT, { attributes: REQUIRED });
    await silent(page);
    await page.evaluate(() => callweave('consent', 'granted'));
    await it.shows(page, '#text', SHOWN);
    const view = await it.collector.event('page_view');
    assert.deepEqual(view.data.consent, { callweave: 'granted' });
    assert.match(await stored(page), /cw_v=/);
});

test('consent given before the script came counts', async () => {
    const early = `window.callweave = function () { (callweave.q = callweave.q || []).push(arguments) };
        callweave('event', 'first'); callweave('consent', 'granted');`;
    const page = await it.open(TEXT, { attributes: REQUIRED, early });
    await it.shows(page, '#text', SHOWN);
    await it.collector.event('first');
});

test('consent taken back takes all away', async () => {
    const page = await it.open(TEXT);
    await it.shows(page, '#text', SHOWN);
    await page.evaluate(() => {
        callweave('event', 'too late');
        callweave('consent', 'denied');
    });
    await it.shows(page, '#text', OWN_TEXT);
    assert.equal(await stored(page), '');
    it.collector.requests = [];
    await silent(page);
    await page.evaluate(() => callweave('consent', 'granted'));
    await it.shows(page, '#text', SHOWN);
});

test('consent taken back while a request is on its way keeps nothing of the answer', async () => {
    let go;
    it.collector.state = new Promise((done) => (go = done));
    const page = await it.open(TEXT);
    await it.collector.event('page_view');
    await page.evaluate(() => callweave('consent', 'denied'));
    it.collector.state = 'up';
    it.collector.requests = [];
    go();
    await silent(page);
});

test("consent taken back deletes the collector's cookie as well, for whichever domain", async () => {
    const host = 'www.shop.localhost';
    await it.context.addCookies([
        { name: 'cw_v', value: 'v1', domain: '.shop.localhost', path: '/' },
        { name: 'cw_v', value: 'v1', domain: host, path: '/' },
    ]);
    const page = await it.context.newPage();
    await page.goto(it.serve(TEXT).replace('localhost', host));
    await it.shows(page, '#text', SHOWN);
    await page.evaluate(() => callweave('consent', 'denied'));
    assert.equal(await stored(page), '');
});

test('consent denied from the start', async () => {
    const early = `window.callweave = function () { (callweave.q = callweave.q || []).push(arguments) };
        callweave('consent', 'granted'); callweave('consent', 'denied');`;
    await silent(await it.open(TEXT, { early }));
});

// What Google Consent Mode is told before the script and after; whether it starts before, after; what is carried.
const modes = [
    [`gtag('consent', 'default', { analytics_storage: 'denied', ad_storage: 'denied', wait_for_update: 500 });`,
        `gtag('consent', 'update', { analytics_storage: 'granted' });`, false, true,
        { analytics_storage: 'granted', ad_storage: 'denied' }],
    [`gtag('consent', 'default', { analytics_storage: 'granted' });`, '', true, true, { analytics_storage: 'granted' }],
    [`gtag('consent', 'default', { analytics_storage: 'granted' });
        gtag('consent', 'default', { analytics_storage: 'denied', region: ['ES'] });`, '', false, false],
    [`gtag('consent', 'default', { analytics_storage: 'denied', region: ['ES'] });
        gtag('consent', 'default', { analytics_storage: 'granted' });`, '', false, false],
    [`gtag('consent', 'default', { analytics_storage: 'granted', region: ['US'] });`, '', false, false],
    [`gtag('consent', 'default', { ad_storage: 'granted' });`,
        `dataLayer.push(['consent', 'update', { analytics_storage: 'granted' }], { event: 'x' }, null);`, false, true,
        { ad_storage: 'granted', analytics_storage: 'granted' }],
    [`dataLayer.push({ event: 'gtm.js' }, null, 'x', 7);`, `gtag('config', 'x');`, false, false],
];
for (const [early, later, starts, ends, carried] of modes) {
    test(`Google Consent Mode: ${early} ${later}`, async () => {
        const page = await it.open(TEXT, { attributes: REQUIRED, early: gtag + early });
        if (!starts) await silent(page);
        if (later) await page.evaluate(later);
        if (!ends) return silent(page);
        const view = await it.collector.event('page_view');
        assert.deepEqual(view.data.consent, carried);
        await it.shows(page, '#text', SHOWN);
        assert.ok(await page.evaluate(() => dataLayer.length > 0)); // it took nothing from the others
    });
}

test('without data-consent the signals of Consent Mode are carried, and decide nothing', async () => {
    const early = gtag + `gtag('consent', 'default', { analytics_storage: 'denied', ad_storage: 'denied' });`;
    await it.open(TEXT, { early });
    const view = await it.collector.event('page_view');
    assert.deepEqual(view.data.consent, { analytics_storage: 'denied', ad_storage: 'denied' });
});

const GPC = `Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', { get: () => true });`;
const DNT = `Object.defineProperty(Navigator.prototype, 'doNotTrack', { get: () => '1' });`;

// The browser's signal, the tag's attributes, whether anything is sent, and what is carried.
const signals = [
    [GPC, '', false],
    [GPC, 'data-gpc="ignore"', true, { gpc: true }],
    [DNT, '', true, { dnt: true }],
    [DNT, 'data-dnt="honour"', false],
];
for (const [early, attributes, sends, carried] of signals) {
    test(`${early === GPC ? 'Global Privacy Control' : 'Do Not Track'} with "${attributes}"`, async () => {
        const page = await it.open(TEXT, { early, attributes });
        if (!sends) return silent(page);
        assert.deepEqual((await it.collector.event('page_view')).data.consent, carried);
    });
}

test('a word on this site goes before the signal of the browser', async () => {
    const page = await it.open(TEXT, { early: GPC });
    await silent(page);
    await page.evaluate(() => callweave('consent', 'granted'));
    await it.shows(page, '#text', SHOWN);
});

for (const [setting, early] of [
    ['consent_required', ''],
    ['honour_dnt', DNT],
]) {
    test(`a site whose settings say ${setting} stops when it has said so`, async () => {
        it.collector.settings[setting] = true;
        const page = await it.open(TEXT, { early });
        await it.collector.event('page_view');
        await page.waitForTimeout(300);
        it.collector.requests = [];
        await silent(page);
    });
}

test('a page that is only made ready is no visit', async () => {
    const early = `Object.defineProperty(document, 'prerendering', { value: true, configurable: true });`;
    const page = await it.open(TEXT, { early });
    await silent(page);
    await page.evaluate(() => {
        delete document.prerendering;
        document.dispatchEvent(new Event('prerenderingchange'));
    });
    await it.shows(page, '#text', SHOWN);
});

test('a strict Content Security Policy is enough', async () => {
    const { origin } = it.collector;
    const policy = `default-src 'none'; script-src 'nonce-abc'; connect-src ${origin}; require-trusted-types-for 'script'`;
    const page = await it.context.newPage();
    const problems = [];
    page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
    it.serve(TEXT, { attributes: 'nonce="abc"' });
    const html = it.pages.all.get('/').replace('<script></script>', '');
    it.pages.all.set('/', { html: html.replace(/ onclick="[^"]*"/, ''), headers: { 'Content-Security-Policy': policy } });
    await page.goto(it.pages.origin);
    // Playwright's own ways of waiting take `eval`.
    const shown = async () => (await page.content()).includes(SHOWN);
    for (let tries = 0; tries < 100 && !(await shown()); tries++) await page.waitForTimeout(50);
    assert.ok(await shown());
    await page.evaluate(() => history.pushState({}, '', '/next'));
    await it.collector.event('page_view', 2);
    assert.deepEqual(problems.filter((text) => !text.includes('favicon')), []);
    assert.deepEqual(it.errors, []);
});
