// When numbers are shown: at once to those who were here before, in time or not at all to the others.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bench } from './lib/bench.mjs';
import { LEASED, OWN, lease } from './lib/collector.mjs';

const it = bench();
const OWN_TEXT = '(415) 555-0100';
const SHOWN = '(415) 555-0123';
const TEXT = `<p id="text">${OWN_TEXT}</p>`;
/** Notes what each frame shows from the first on, as it is painted. A frame may fall between an element and the text
 * that the parser puts in it next: no text node, nothing shown. */
const WATCH = `window.frames_ = [];
    (function note() {
        const text = document.querySelector('#text');
        if (text?.firstChild && frames_.at(-1) !== text.textContent) frames_.push(text.textContent);
        requestAnimationFrame(note);
    })();`;
const frames = (page) => page.evaluate(() => window.frames_);
const settled = (page) => page.waitForTimeout(400);

/** A collector that answers when told. */
function hold() {
    let go;
    it.collector.state = new Promise((done) => (go = done));
    return () => {
        it.collector.state = 'up';
        go();
    };
}

test('a returning visitor never sees another number', async () => {
    const page = await it.open(TEXT, { early: WATCH });
    await it.shows(page, '#text', SHOWN);
    // The body comes when the script has run, as it does where the page is long or the script is in the cache.
    const answer = hold();
    const requests = it.collector.requests.length;
    it.pages.all.set('/', async (request, response) => {
        const [head, body] = it.page.split('</head>');
        response.writeHead(200, { 'Content-Type': 'text/html;charset=utf-8' });
        response.write(head + '</head><body><p>' + 'x '.repeat(2000));
        await it.collector.until('the script', (collector) => collector.requests.length > requests);
        response.end('</p>' + body);
    });
    it.page = `<!doctype html><html><head><script>${WATCH}</script>
        <script async src="${it.collector.origin}/callweave.js" data-site="acme/main" data-replace="${OWN}"></script>
        </head>${TEXT}${TEXT.replace('text', 'last')}</body></html>`;
    await page.goto(it.pages.origin);
    await it.shows(page, '#last', SHOWN);
    answer();
    await settled(page);
    assert.deepEqual(await frames(page), [SHOWN]);
    assert.equal(await it.text(page, '#text'), SHOWN);
    const view = it.collector.events('page_view').at(-1);
    assert.deepEqual(view.data.numbers, ['+14155550123']);
});

test('a returning visitor sees the number while the answer is on its way, and the new one then', async () => {
    const page = await it.open(TEXT);
    await it.shows(page, '#text', SHOWN);
    const answer = hold();
    it.collector.numbers = () => [lease(OWN, { number: '+14155550177' })];
    await page.reload();
    await it.shows(page, '#text', SHOWN);
    answer();
    await it.shows(page, '#text', '(415) 555-0177');
});

test('an answer that comes too late changes nothing before the next page', async () => {
    const answer = hold();
    const page = await it.open(TEXT, { early: WATCH, timeout: 150 });
    await it.collector.event('page_view');
    await settled(page);
    answer();
    await settled(page);
    assert.deepEqual(await frames(page), [OWN_TEXT]);
    await page.evaluate(() => history.pushState({}, '', '/next'));
    await it.shows(page, '#text', SHOWN);
    assert.deepEqual(it.collector.requests.length >= 1, true);
});

test("the site's own time limit counts from the second page on", async () => {
    it.collector.settings.number_timeout_ms = 100;
    it.collector.numbers = () => [];
    const page = await it.open(TEXT, { timeout: '' });
    await it.collector.event('page_view');
    await settled(page);
    it.collector.numbers = () => [lease()];
    const answer = hold();
    await page.reload();
    await it.collector.event('page_view', 2);
    await settled(page);
    answer();
    await settled(page);
    assert.equal(await it.text(page, '#text'), OWN_TEXT);
});

test('a collector that is down leaves the page as it is', async () => {
    it.collector.state = 'down';
    const page = await it.open(TEXT, { early: WATCH, timeout: 100 });
    const told = await page.evaluate(async () => {
        while (!window.callweave) await new Promise((done) => setTimeout(done, 10));
        return new Promise((done) => callweave('number', done));
    });
    assert.deepEqual(told, []); // the page may show what it likes
    assert.deepEqual(await page.evaluate(() => new Promise((done) => callweave('number', done))), []); // later, too
    assert.deepEqual(await frames(page), [OWN_TEXT]);
    assert.deepEqual(it.errors, []);
});

test('a number that may be of another by now goes where the collector does not confirm it', async () => {
    it.collector.numbers = () => [lease(OWN, { expires_at: new Date(Date.now() + 700).toISOString() })];
    const page = await it.open(TEXT);
    await it.shows(page, '#text', SHOWN);
    await page.waitForTimeout(1000);
    it.collector.state = 'down';
    it.serve(TEXT, { timeout: 1000 });
    await page.reload();
    await it.shows(page, '#text', SHOWN); // it is most likely still theirs
    await it.shows(page, '#text', OWN_TEXT);
});

test('a number that is held stays where the collector is down', async () => {
    const page = await it.open(TEXT);
    await it.shows(page, '#text', SHOWN);
    it.collector.state = 'down';
    it.serve(TEXT, { timeout: 100 });
    await page.reload();
    await it.shows(page, '#text', SHOWN);
    await settled(page);
    assert.equal(await it.text(page, '#text'), SHOWN);
});

test('what was shown for another site of the same origin is not shown', async () => {
    const page = await it.open(TEXT);
    await it.shows(page, '#text', SHOWN);
    it.collector.state = 'down';
    it.pages.all.set('/', it.pages.all.get('/').replace('acme/main', 'acme/other'));
    await page.reload();
    await page.waitForFunction(() => window.callweave?.on);
    assert.equal(await it.text(page, '#text'), OWN_TEXT);
});

test('a lease that ran out while the page lay there is asked for again', async () => {
    it.collector.settings.heartbeat_seconds = 0.3;
    it.collector.numbers = (request) =>
        request.numbers?.want ? [lease(OWN, { expires_at: new Date(Date.now() + 500).toISOString() })] : [];
    const page = await it.open(TEXT);
    await it.shows(page, '#text', SHOWN);
    const again = await it.collector.until('a heartbeat that asks', ({ requests }) =>
        requests.find(({ events, numbers }) => events[0].type === 'heartbeat' && numbers.want),
    );
    assert.equal(again.landing.url, it.pages.origin + '/');
    assert.equal(await it.text(page, '#text'), SHOWN);
});

test('a heartbeat that is told of another number shows it', async () => {
    it.collector.settings.heartbeat_seconds = 0.3;
    it.collector.numbers = (request) => [lease(OWN, request.numbers.want ? {} : { number: '+14155550177' })];
    const page = await it.open(TEXT);
    await it.shows(page, '#text', '(415) 555-0177');
});

test('what stands first is named by a callback, though heartbeats tell of what is held alone', async () => {
    it.collector.settings.heartbeat_seconds = 0.3;
    const fixed = { ...LEASED, replaces: '+14155550101', number: '+14155550180', lease_id: null, how: 'static' };
    it.collector.numbers = (request) => (request.numbers.want ? [lease(), fixed] : [lease()]);
    const page = await it.open(TEXT);
    await it.collector.event('heartbeat', 2);
    await page.evaluate(() => callweave('callback', { phone: '+4930123456' }));
    const callback = await it.collector.event('callback_request');
    assert.equal(callback.data.number, LEASED.number);
});

test('the collector may lie on another site', async () => {
    const url = it.serve(TEXT);
    const page = await it.context.newPage();
    await page.goto(url.replace('localhost', '127.0.0.1'));
    await it.shows(page, '#text', SHOWN);
    await page.reload();
    const view = await it.collector.event('page_view', 2);
    assert.equal(view.visitor_id, 'made-by-collector'); // by the script's own cookie
    assert.equal(view.session_id, it.collector.events()[0].session_id);
});
