// A plumber's site of two pages, as its owner would have it.

const style = `body { font: 16px/1.5 sans-serif; margin: 0; color: #223; }
    header { background: #123a5c; color: #fff; padding: 12px 32px; display: flex; justify-content: space-between; align-items: center; }
    header a { color: #fff; text-decoration: none; } main { padding: 16px 32px; }
    .call { display: inline-block; background: #e76f2e; color: #fff; padding: 8px 18px; border-radius: 6px; text-decoration: none; }
    footer { padding: 12px 32px; color: #667; border-top: 1px solid #dde; }`;

function page(tag, title, inner) {
    return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${title}</title><style>${style}</style>
${tag}</head><body>
<header><b><a href="/">Bay Plumbing</a></b><a id="top" href="tel:+14155550100">(415) 555-0100</a></header>
<main>${inner}</main>
<footer>Bay Plumbing, 1 Pipe Street. Call <span>+1</span> 415.555.0100, or 415-555-0100 ext. 2 for invoices. Fax (415) 555-0155.</footer>
</body></html>`;
}

/** Its pages by path. */
export function plumber(tag) {
    return new Map([
        ['/', page(tag, 'Bay Plumbing', `<h1>A pipe burst? We are there in an hour.</h1>
            <p>Day and night, in San Francisco and around.</p>
            <p><a class="call" href="tel:4155550100">Call 415 555 0100</a></p><p><a id="prices" href="/prices">Our prices</a></p>`)],
        ['/prices', page(tag, 'Prices', '<h1>Prices</h1><p>A visit is $90. Ask for more at (415) 555-0100.</p>')],
    ]);
}

