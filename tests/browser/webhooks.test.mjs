// Webhooks as receivers in JavaScript see them: signatures verified by npm's standardwebhooks.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { Webhook } from 'standardwebhooks';
import { Program, until } from './lib/program.mjs';

const skip = !process.env.CALLWEAVE_BIN && 'CALLWEAVE_BIN names no program';
const SECRETS = ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=', 'whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDOi3xL7VYTUA='];
const got = [];
let server, program;

before(async () => {
    if (skip) return;
    server = createServer((request, response) => {
        const chunks = [];
        request.on('data', (chunk) => chunks.push(chunk));
        request.on('end', () => {
            got.push({ headers: request.headers, body: Buffer.concat(chunks).toString() });
            response.writeHead(204).end();
        });
    });
    await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
    const url = `http://127.0.0.1:${server.address().port}/`;
    const settings = { webhooks: [{ name: 'own', url, secrets: SECRETS, moments: ['call.started'] }] };
    const configuration = `[notify]
allow = ["127.0.0.0/8"]
[accounts.acme]
keys = ["the-key-of-acme-for-tests"]
settings = "acme.json"
`;
    program = await Program.up(configuration, settings);
});

after(async () => {
    await program?.stop();
    server?.closeAllConnections();
    server?.close();
});

test('npm verifies what is signed, and nothing else', { skip }, async () => {
    const event = {
        specversion: '1.0',
        id: 'e1',
        source: 'pbx',
        type: 'call',
        time: new Date().toISOString(),
        account: 'acme',
        data: { call_id: 'c1', status: 'started', direction: 'inbound', from: '+14155550199', to: '+14155550100' },
    };
    const answer = await fetch(`${program.origin}/v1/events`, {
        method: 'POST',
        headers: { authorization: 'Bearer the-key-of-acme-for-tests' },
        body: JSON.stringify(event),
    });
    assert.ok(answer.ok, String(answer.status));
    const { headers, body } = await until('the call', () => got[0]);
    for (const secret of SECRETS) {
        const told = new Webhook(secret).verify(body, headers);
        assert.equal(told.type, 'call.started');
        assert.equal(told.data.caller, '+14155550199');
    }
    assert.throws(() => new Webhook(SECRETS[0]).verify(`${body} `, headers), /signature/);
    assert.throws(() => new Webhook('whsec_plJ3nmyCDGBKInavdOK15jsl').verify(body, headers), /signature/);
    const old = { ...headers, 'webhook-timestamp': '1700000000' };
    assert.throws(() => new Webhook(SECRETS[0]).verify(body, old), /timestamp|signature/);
});
