// Numbers are found however they are written, and written the same way.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bench } from './lib/bench.mjs';

const it = bench();
const US = { own: '+14155550100', number: '+14155550123', national: '(415) 555-0123', international: '+1 415-555-0123' };
const TOLL = { own: '+14155550100', number: '+18005550199', national: '(800) 555-0199', international: '+1 800-555-0199' };
const UK = { own: '+442079460018', number: '+442079460555', national: '020 7946 0555', international: '+44 20 7946 0555' };
const DE = { own: '+4930123456', number: '+4930987654', national: '030 987654', international: '+49 30 987654' };
const LONGER = { own: '+4930123456', number: '+491791234567', national: '0179 1234567', international: '+49 179 1234567' };
const RU = { own: '+74951234567', number: '+74957654321', national: '8 (495) 765-43-21', international: '+7 495 765-43-21' };
const IT = { own: '+390612345678', number: '+390698765432', national: '06 9876 5432', international: '+39 06 9876 5432' };
const ABROAD = { own: '+442079460018', number: '+14155550123', national: '(415) 555-0123', international: '+1 415-555-0123' };
const CODE3 = { own: '+3531234567', number: '+3537654321', national: '01 765 4321', international: '+353 1 765 4321' };
const EXTENSION = { ...US, extension: '1234' };
const nbsp = '\u00a0';

// The numbers, what the page has, what it should show; no third: it stays.
const texts = [
    [US, '+14155550100', '+14155550123'],
    [US, '(415) 555-0100', '(415) 555-0123'],
    [US, 'Call (415) 555-0100 now', 'Call (415) 555-0123 now'],
    [US, '415-555-0100', '415-555-0123'],
    [US, '415.555.0100', '415.555.0123'],
    [US, '415 555 0100', '415 555 0123'],
    [US, '4155550100', '4155550123'],
    [US, '1-415-555-0100', '1-415-555-0123'],
    [US, '1 (415) 555-0100', '1 (415) 555-0123'],
    [US, '+1 (415) 555-0100', '+1 (415) 555-0123'],
    [US, '+1 415 555 0100', '+1 415 555 0123'],
    [US, '001 415 555 0100', '001 415 555 0123'],
    [US, `+1${nbsp}415${nbsp}555${nbsp}0100`, `+1${nbsp}415${nbsp}555${nbsp}0123`],
    [US, '415\u2011555\u20110100', '415\u2011555\u20110123'],
    [US, '415\u2013555\u20130100', '415\u2013555\u20130123'],
    [US, '(415)555-0100', '(415)555-0123'],
    [US, '[415] 555 0100', '[415] 555 0123'],
    [US, '415/555-0100', '415/555-0123'],
    [US, '415 - 555 - 0100', '415 - 555 - 0123'],
    [US, '(415-555-0100)', '(415-555-0123)'],
    [US, 'Tel.415-555-0100.', 'Tel.415-555-0123.'],
    [US, '電話415-555-0100まで', '電話415-555-0123まで'],
    [US, '415-555-0100 or 415-555-0100', '415-555-0123 or 415-555-0123'],
    [US, '24/7 415-555-0100', '24/7 415-555-0123'],
    [US, 'from 8:00 415-555-0100', 'from 8:00 415-555-0123'],
    [US, '415-555-0100 ext. 5', '415-555-0123 ext. 5'],
    [US, '415-555-0100, 415-555-0199', '415-555-0123, 415-555-0199'],
    // Other numbers.
    [US, '415-555-0101'],
    [US, '94155550100'],
    [US, '41555501001'],
    [US, '415-555-0100-22'],
    [US, '+22 415 555 0100'],
    [US, '+415 555 0100'],
    [US, 'order9-415-555-0100'],
    [US, 'A4155550100'],
    [US, '415 555 and 0100'],
    [US, '415-KLM-0100'],
    [US, '555-0100'],
    [US, '3.4155550100'],
    // Other lengths and countries.
    [TOLL, '(415) 555-0100', '(800) 555-0199'],
    [UK, '020 7946 0018', '020 7946 0555'],
    [UK, '(020) 7946 0018', '(020) 7946 0555'],
    [UK, '+44 20 7946 0018', '+44 20 7946 0555'],
    [UK, '+44 (0)20 7946 0018', '+44 (0)20 7946 0555'],
    [UK, '+44 (0) 20 7946 0018', '+44 (0) 20 7946 0555'],
    [UK, '0044 20 79460018', '0044 20 79460555'],
    [UK, '20 7946 0018', '20 7946 0555'],
    [DE, '030 / 12 34 56', '030 / 98 76 54'],
    [DE, '+49 (0)30 123456', '+49 (0)30 987654'],
    [DE, '030 123456-22'],
    [DE, '(+49) 30 123456', '(+49) 30 987654'],
    [LONGER, 'Tel. 030 123456.', 'Tel. 0179 1234567.'],
    [LONGER, '(030) 123456', '0179 1234567'],
    [LONGER, '(030 123456)', '(0179 1234567)'],
    [LONGER, 'Tel. +49 30 123456.', 'Tel. +49 179 1234567.'],
    [LONGER, '0049 30 123456', '+49 179 1234567'],
    [LONGER, '+49 (0)30-123456 und 030-123456', '+49 179 1234567 und 0179 1234567'],
    [RU, '8 (495) 123-45-67', '8 (495) 765-43-21'],
    [RU, '+7 495 123-45-67', '+7 495 765-43-21'],
    [RU, '(495) 123-45-67', '(495) 765-43-21'],
    [IT, '06 1234 5678', '06 9876 5432'],
    [IT, '+39 06 1234 5678', '+39 06 9876 5432'],
    [CODE3, '+353 1 234 567', '+353 7 654 321'],
    [CODE3, '01 234 567', '07 654 321'],
    [ABROAD, '020 7946 0018', '+1 415-555-0123'],
    [ABROAD, '+44 20 7946 0018', '+1 415-555-0123'],
    [US, `(415)\n${' '.repeat(40)}555-0100`, `(415)\n${' '.repeat(40)}555-0123`],
    [EXTENSION, 'Call 415-555-0100.', 'Call 415-555-0123 ext. 1234.'],
];

const links = [
    [US, 'tel:+14155550100', 'tel:+14155550123'],
    [US, 'tel:4155550100', 'tel:+14155550123'],
    [US, 'TEL:1-415-555-0100', 'TEL:+14155550123'],
    [US, 'tel:(415)%20555-0100', 'tel:+14155550123'],
    [US, 'tel:%2B14155550100', 'tel:+14155550123'],
    [US, 'tel://+14155550100', 'tel:+14155550123'],
    [US, 'tel:+14155550100;ext=55', 'tel:+14155550123;ext=55'],
    [US, 'tel:+14155550100,,55', 'tel:+14155550123,,55'],
    [US, 'tel:+14155550100?utm=1', 'tel:+14155550123?utm=1'],
    [US, 'tel:+14155550100;phone-context=example.com', 'tel:+14155550123;phone-context=example.com'],
    [US, 'tel:+14155550101'],
    [US, 'tel:'],
    [US, 'tel:%'],
    [US, 'sms:+14155550100'],
    [US, '/4155550100'],
    [UK, 'tel:02079460018', 'tel:+442079460555'],
    [UK, 'tel:+44(0)2079460018', 'tel:+442079460555'],
    [ABROAD, 'tel:02079460018', 'tel:+14155550123'],
    [EXTENSION, 'tel:+14155550100', 'tel:+14155550123,,1234'],
    [EXTENSION, 'tel:+14155550100;ext=55', 'tel:+14155550123;ext=1234'],
    [EXTENSION, 'tel:+14155550100,,55', 'tel:+14155550123,,1234,,55'],
];

const escape = (text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

for (const numbers of new Set([...texts, ...links].map((row) => row[0]))) {
    const { own, ...shown } = numbers;
    const name = `${own} becomes ${shown.number}${shown.extension ? ' with an extension' : ''}`;
    test(name, async () => {
        const rows = texts.filter((row) => row[0] === numbers);
        const tels = links.filter((row) => row[0] === numbers);
        it.collector.numbers = () => [{ replaces: own, ...shown, how: 'static' }];
        const inner =
            rows.map((row) => `<p>${escape(row[1])}</p>`).join('\n') +
            tels.map((row) => `<div><a href="${escape(row[1])}">x</a></div>`).join('\n') +
            `<b id="end">${own}</b>`;
        const page = await it.open(inner, { replace: own });
        await page.waitForFunction((own) => document.querySelector('#end').textContent !== own, own);
        const found = await page.evaluate(() => ({
            texts: [...document.querySelectorAll('p')].map((p) => p.textContent),
            links: [...document.querySelectorAll('a')].map((a) => a.getAttribute('href')),
        }));
        assert.deepEqual(found.texts, rows.map((row) => row[2] ?? row[1]));
        assert.deepEqual(found.links, tels.map((row) => row[2] ?? row[1]));
    });
}
