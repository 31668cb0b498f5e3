// Where numbers are replaced, where not, and that they stay replaced whatever the page does.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bench } from './lib/bench.mjs';
import { OWN, lease } from './lib/collector.mjs';

const it = bench();
const TEXT = '(415) 555-0100';
const SHOWN = '(415) 555-0123';
const END = `<p id="end">${TEXT}</p>`;

/** A page with this inside, once its numbers are shown. */
async function shown(inner, settings) {
    const page = await it.open(inner + END, settings);
    await it.shows(page, '#end', SHOWN);
    return page;
}

const inner = (page, selector) => page.locator(selector).evaluate((element) => element.innerHTML);

// What stands in the page, and what of it should be shown.
const stands = [
    ['split over a span', '<span>+1</span> 415-555-0100', '<span>+1</span> 415-555-0123'],
    ['split over a custom element', '<x-code>(415)</x-code> <nobr>555-<label>0100</label></nobr>', '<x-code>(415)</x-code> <nobr>555-<label>0123</label></nobr>'],
    ['split over several', '<b>(415)</b> <i>555</i>-<u><em>01</em>00</u>', '<b>(415)</b> <i>555</i>-<u><em>01</em>23</u>'],
    ['split by a comment', '415-555-<!-- -->0100', '415-555-<!-- -->0123'],
    ['beside digits of another element', '<span>24</span><span>415-555-0100</span>', '<span>24</span><span>415-555-0123</span>'],
    ['over two lines', '415-555<br>0100', '415-555<br>0100'],
    ['over two blocks', '<div>415-555</div><div>0100</div>', '<div>415-555</div><div>0100</div>'],
    ['in a link', `<a href="tel:+14155550100">${TEXT}</a>`, `<a href="tel:+14155550123">${SHOWN}</a>`],
    ['in a table', `<table><tbody><tr><td>${TEXT}</td></tr></tbody></table>`, `<table><tbody><tr><td>${SHOWN}</td></tr></tbody></table>`],
    ['in SVG', `<svg><text>${TEXT}</text></svg>`, `<svg><text>${SHOWN}</text></svg>`],
    ['in a script', `<script type="text/plain">${TEXT}</script>`],
    ['in a style', `<style>/* ${TEXT} */</style>`],
    ['in a text area', `<textarea>${TEXT}</textarea>`],
    ['in a field', `<input value="${TEXT}">`],
    ['in a template', `<template>${TEXT}</template>`],
    ['in what is edited', `<div contenteditable="true"><p>${TEXT} <a href="tel:+14155550100">x</a></p></div>`],
    ['where the page says no', `<div data-callweave="off"><p>${TEXT} <a href="tel:+14155550100">x</a></p></div>`],
    ['in an attribute nobody named', `<i data-x="${TEXT}"></i>`],
    ['in attributes', `<i title="${TEXT}" aria-label="Call ${TEXT}"></i>`, `<i title="${SHOWN}" aria-label="Call ${SHOWN}"></i>`],
    ['in an own attribute', `<i data-callweave="data-tel" data-tel="${TEXT}"></i>`, `<i data-callweave="data-tel" data-tel="${SHOWN}"></i>`],
];

test('numbers are replaced where people read them', async () => {
    const body = stands.map(([, has]) => `<section>${has}</section>`).join('');
    const page = await shown(body, { attributes: 'data-callweave-attributes="title, aria-label content"' });
    const found = await page.evaluate(() => [...document.querySelectorAll('section')].map((section) => section.innerHTML));
    assert.deepEqual(found, stands.map(([, has, shows]) => shows ?? has));
    assert.deepEqual(it.errors, []);
});

test('what comes later is replaced before it is painted', async () => {
    const page = await shown('<div id="place"></div><p id="old">x</p><a id="link">x</a>', { attributes: 'data-callweave-attributes="title"' });
    const seen = await page.evaluate(async (text) => {
        const place = document.querySelector('#place');
        const seen = [];
        const frame = () => new Promise((done) => requestAnimationFrame(done));
        place.innerHTML = `<p>${text} <a href="tel:+14155550100" title="${text}">x</a></p>`;
        await frame();
        seen.push(place.innerHTML);
        document.querySelector('#old').firstChild.data = text;
        await frame();
        seen.push(document.querySelector('#old').textContent);
        document.querySelector('#link').href = 'tel:+14155550100';
        document.querySelector('#link').title = text;
        await frame();
        seen.push(document.querySelector('#link').href, document.querySelector('#link').title);
        return seen;
    }, TEXT);
    assert.deepEqual(seen, [
        `<p>${SHOWN} <a href="tel:+14155550123" title="${SHOWN}">x</a></p>`,
        SHOWN,
        'tel:+14155550123',
        SHOWN,
    ]);
});

test('a framework that writes its own text again has it replaced again', async () => {
    const page = await shown(`<p id="text">${TEXT}</p>`);
    const seen = await page.evaluate(async (text) => {
        const node = document.querySelector('#text').firstChild;
        const seen = new Set();
        for (let round = 0; round < 10; round++) {
            node.data = text;
            await new Promise((done) => requestAnimationFrame(done));
            seen.add(node.data);
        }
        // Another text in the same node counts as the page's own from then on.
        node.data = 'closed today';
        await new Promise((done) => requestAnimationFrame(done));
        seen.add(node.data);
        return [...seen];
    }, TEXT);
    assert.deepEqual(seen, [SHOWN, 'closed today']);
});

test('its own changes set nothing off', async () => {
    const page = await shown(`<p>${TEXT}</p>`.repeat(50));
    const changes = await page.evaluate(async (text) => {
        let changes = 0;
        new MutationObserver((records) => (changes += records.length)).observe(document, {
            subtree: true,
            childList: true,
            characterData: true,
            attributes: true,
        });
        const added = document.createElement('p');
        added.textContent = text;
        document.body.append(added);
        for (let frame = 0; frame < 10; frame++) await new Promise((done) => requestAnimationFrame(done));
        return changes;
    }, TEXT);
    assert.equal(changes, 2); // the paragraph, and its number
});

test('a page that fights for its text does not hang', async () => {
    const page = await shown(`<p id="text">${TEXT}</p>`);
    const text = await page.evaluate(async (text) => {
        const node = document.querySelector('#text').firstChild;
        new MutationObserver(() => node.data !== text && (node.data = text)).observe(node, { characterData: true });
        node.data = 'x';
        for (let frame = 0; frame < 5; frame++) await new Promise((done) => requestAnimationFrame(done));
        return node.data;
    }, TEXT);
    assert.equal(text, TEXT);
});

for (const way of ['textContent', 'innerHTML']) {
    test(`a page that puts its text back by ${way} does not hang`, async () => {
        const page = await shown(`<p id="text">${TEXT}</p><p id="other">${TEXT}</p>`);
        const seen = await page.evaluate(
            async ([way, text]) => {
                const [node, other] = ['#text', '#other'].map((id) => document.querySelector(id));
                const own = way === 'innerHTML' ? `<b>${text}</b>` : text;
                new MutationObserver(() => node[way] !== own && (node[way] = own)).observe(node, {
                    childList: true,
                    characterData: true,
                    subtree: true,
                });
                node[way] = 'x';
                for (let frame = 0; frame < 5; frame++) await new Promise((done) => requestAnimationFrame(done));
                return [node.textContent, other.textContent];
            },
            [way, TEXT],
        );
        assert.equal(seen[0], TEXT);
        assert.notEqual(seen[1], TEXT);
    });
}

test('open shadow roots are seen into, whenever they are made', async () => {
    const body = `<div id="parsed"><template shadowrootmode="open"><p>${TEXT}</p></template></div>
        <x-late></x-late><div id="host"></div><div id="closed"></div>`;
    const page = await shown(body);
    const seen = await page.evaluate(async (text) => {
        const frame = () => new Promise((done) => requestAnimationFrame(done));
        const inside = (root) => root.querySelector('p').textContent;
        customElements.define(
            'x-late',
            class extends HTMLElement {
                connectedCallback() {
                    this.attachShadow({ mode: 'open' }).innerHTML = `<p>${text}</p><div></div>`;
                    const nested = this.shadowRoot.querySelector('div').attachShadow({ mode: 'open' });
                    nested.innerHTML = `<p>${text}</p>`;
                }
            },
        );
        const root = document.querySelector('#host').attachShadow({ mode: 'open' });
        await frame();
        root.innerHTML = `<p>${text}</p>`;
        const closed = document.querySelector('#closed').attachShadow({ mode: 'closed' });
        closed.innerHTML = `<p>${text}</p>`;
        await frame();
        const late = document.querySelector('x-late').shadowRoot;
        const seen = [late, late.querySelector('div').shadowRoot, root, closed].map(inside);
        late.querySelector('p').firstChild.data = `again ${text}`;
        await frame();
        seen.push(inside(late), inside(document.querySelector('#parsed').shadowRoot));
        return seen;
    }, TEXT);
    assert.deepEqual(seen, [SHOWN, SHOWN, SHOWN, TEXT, `again ${SHOWN}`, SHOWN]);
    assert.deepEqual(it.errors, []);
});

test('several numbers on a page each have their own', async () => {
    const other = '+14155550101';
    it.collector.numbers = (request) => {
        assert.deepEqual(request.numbers.replace, [OWN, other]);
        return [lease(OWN), { replaces: other, number: '+18005550177', national: '(800) 555-0177', how: 'static' }];
    };
    const page = await shown('<p id="sales">415-555-0101</p><p id="both">415-555-0101 / 415-555-0100, 415-555-0102</p>', {
        replace: `${OWN} ${other} nonsense`,
    });
    assert.equal(await it.text(page, '#sales'), '800-555-0177');
    assert.equal(await it.text(page, '#both'), '800-555-0177 / 415-555-0123, 415-555-0102');
});

test('without data-replace the answer says which numbers are replaced', async () => {
    await shown('', { replace: '' });
    assert.deepEqual(it.collector.requests[0].numbers, { replace: [], held: [], want: true });
});

test('an answer that names no number stands for those that the page names', async () => {
    it.collector.numbers = () => [lease(null)];
    await shown('');
});

test('a number that changes is changed on the page, and none restores what was there', async () => {
    const page = await shown(`<p id="split"><b>415</b>-555-0100</p><a href="tel:4155550100">x</a>`);
    const views = (numbers) => {
        it.collector.numbers = () => numbers;
        return page.evaluate(() => history.pushState({}, '', '?page=' + Math.random()));
    };
    await views([lease(OWN, { number: '+18005550177', national: '(800) 555-0177' })]);
    await it.shows(page, '#end', '(800) 555-0177');
    assert.equal(await inner(page, '#split'), '<b>800</b>-555-0177');
    assert.equal(await page.locator('a').getAttribute('href'), 'tel:+18005550177');
    await views([]);
    await it.shows(page, '#end', TEXT);
    assert.equal(await inner(page, '#split'), '<b>415</b>-555-0100');
    assert.equal(await page.locator('a').getAttribute('href'), 'tel:4155550100');
});
