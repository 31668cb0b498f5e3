// Nothing is lost: not on leaving, not while the collector is away.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bench } from './lib/bench.mjs';
import { OWN } from './lib/collector.mjs';

const it = bench();
const TEXT = '<p id="text">(415) 555-0100</p>';
const SHOWN = '(415) 555-0123';
const ready = (page) => page.waitForFunction(() => window.callweave?.on);
const tell = (page, ...names) => page.evaluate((names) => names.forEach((name) => callweave('event', name)), names);

test('leaving the page sends what waits, by beacon', async () => {
    const early = `const beacon = Navigator.prototype.sendBeacon;
        Navigator.prototype.sendBeacon = function (url, body) {
            localStorage.beacons = (+localStorage.beacons || 0) + 1;
            return beacon.call(this, url, body);
        };`;
    const page = await it.open(TEXT, { early });
    await it.shows(page, '#text', SHOWN);
    it.pages.all.set('/other', '<p>other</p>');
    await page.evaluate(() => {
        callweave('event', 'last');
        location.href = '/other';
    });
    const last = await it.collector.event('last');
    assert.equal(last.visitor_id, 'made-by-collector');
    await page.waitForURL('**/other');
    assert.equal(await page.evaluate(() => localStorage.beacons), '1');
    assert.equal(await page.evaluate(() => sessionStorage.length), 0);
    assert.equal(it.collector.events('last').length, 1);
});

test('closing the tab loses nothing', async () => {
    it.pages.all.set('/opener', '<p>only a window that a script opened may be closed by one</p>');
    const opener = await it.context.newPage();
    await opener.goto(it.pages.origin + '/opener');
    const opened = it.context.waitForEvent('page');
    await opener.evaluate((url) => void window.open(url), it.serve(TEXT));
    const page = await opened;
    await it.shows(page, '#text', SHOWN);
    await page.evaluate(() => {
        callweave('event', 'last');
        setTimeout(() => window.close(), 50); // before the event goes by itself
    });
    await it.collector.event('last');
});

test('without beacons it fetches beyond the life of the page', async () => {
    const page = await it.open(TEXT, { early: 'Navigator.prototype.sendBeacon = () => false;' });
    await it.shows(page, '#text', SHOWN);
    it.pages.all.set('/other', '<p>other</p>');
    await page.evaluate(() => {
        callweave('event', 'last');
        location.href = '/other';
    });
    await it.collector.event('last');
});

test('a single-page application that is left at once still tells its last page', async () => {
    const page = await it.open(TEXT);
    await it.shows(page, '#text', SHOWN);
    it.pages.all.set('/other', '<p>other</p>');
    await page.evaluate(() => {
        history.pushState({}, '', '/two');
        location.href = '/other';
    });
    assert.equal((await it.collector.event('page_view', 2)).data.url, it.pages.origin + '/two');
});

for (const state of ['down', 500, 503, 429]) {
    test(`what was not taken (${state}) is sent again, under the same id`, async () => {
        it.collector.state = state;
        const page = await it.open(TEXT);
        await ready(page);
        if (state === 'down') await page.waitForTimeout(200);
        else await it.collector.event('page_view');
        const failed = it.collector.events('page_view')[0];
        it.collector.state = 'up';
        it.collector.requests = it.collector.requests.slice(0, 0);
        const again = await it.collector.event('page_view');
        if (failed) assert.equal(again.id, failed.id);
        assert.match(again.visitor_id, /^[a-z0-9]{25,}$/); // it names itself now, once and for all
        await it.shows(page, '#text', SHOWN);
    });
}

test('what the collector refuses is not sent again', async () => {
    it.collector.state = 400;
    const page = await it.open(TEXT);
    await it.collector.event('page_view');
    it.collector.state = 'up';
    await ready(page);
    await page.waitForTimeout(300);
    await tell(page, 'next');
    await it.collector.event('next');
    assert.equal(it.collector.events('page_view').length, 1);
    assert.deepEqual(it.errors, []);
});

test('what could not be sent is sent by the next page of the tab, for the visit it belongs to', async () => {
    it.collector.state = 'down';
    const page = await it.open(TEXT, {}, '?utm_source=a');
    await ready(page);
    await tell(page, 'early');
    await page.waitForTimeout(300);
    it.collector.state = 'up';
    await page.goto(it.pages.origin + '/?utm_source=b');
    const early = await it.collector.event('early');
    await it.collector.event('page_view', 2); // what waited goes first, and the present visit's view after it
    const views = it.collector.events('page_view');
    assert.deepEqual(new Set(views.map((view) => view.data.url.split('=')[1])), new Set(['a', 'b']));
    const [a, b] = ['a', 'b'].map((tag) => views.find((view) => view.data.url.endsWith('=' + tag)));
    assert.notEqual(a.session_id, b.session_id);
    assert.equal(early.session_id, a.session_id);
    const asked = it.collector.requests.filter((request) => request.numbers).map((request) => request.session_id);
    assert.deepEqual([...new Set(asked)], [b.session_id]); // numbers only for the present visit
});

test('a queue that nobody takes stays small', async () => {
    it.collector.state = 'down';
    const page = await it.open(TEXT);
    await ready(page);
    await page.evaluate(() => {
        for (let count = 0; count < 500; count++) callweave('event', 'event-' + count, { properties: { text: 'x'.repeat(100) } });
    });
    const kept = await page.evaluate(() => JSON.parse(sessionStorage.cw_q).map((item) => item.event.data.name));
    assert.equal(kept.length, 50);
    assert.equal(kept.at(-1), 'event-499');
    it.collector.state = 'up';
    await page.reload();
    await it.collector.event('event-499');
    await it.collector.event('event-452');
    assert.ok(it.collector.requests.every((request) => +request.headers['content-length'] < 65536));
});

test('what is no data, or too much of it, harms nothing else', async () => {
    const page = await it.open(TEXT);
    await it.shows(page, '#text', SHOWN);
    await page.evaluate(() => {
        const round = {};
        round.round = round;
        const given = { plan: 'a' };
        callweave('event', 'round', { properties: round });
        callweave('event', 'big', { value: 10n });
        callweave('event', 'long', { properties: { text: 'x'.repeat(40000) } });
        callweave('event', 'given', { properties: given });
        given.plan = 'b';
        for (let count = 0; count < 4; count++) callweave('event', 'wide', { properties: { text: '\u00e9'.repeat(10000) } });
    });
    assert.deepEqual((await it.collector.event('given')).data.properties, { plan: 'a' });
    await it.collector.event('wide', 4);
    assert.deepEqual(['round', 'big', 'long'].flatMap((name) => it.collector.events(name)), []);
    assert.ok(it.collector.requests.every((request) => +request.headers['content-length'] < 65536));
    assert.deepEqual(it.errors, []);
});

test('a visitor who is not named yet is asked for once', async () => {
    let go;
    it.collector.state = new Promise((done) => (go = done));
    const page = await it.open(TEXT);
    await it.collector.event('page_view');
    await tell(page, 'waits');
    await page.waitForTimeout(500);
    assert.equal(it.collector.requests.length, 1); // or it would be two visitors
    it.collector.state = 'up';
    go();
    assert.equal((await it.collector.event('waits')).visitor_id, 'made-by-collector');
    assert.equal(it.collector.requests[0].numbers.replace[0], OWN);
});
