// What the page asks the server for.

import { encode, afterPrefix } from './format.js';

// token says who looks. It is kept for as long as the tab is open, and sent by this script alone.
let token = sessionStorage.getItem('balsa-token') || '';

export function setToken(t) {
  token = t;
  if (t) sessionStorage.setItem('balsa-token', t);
  else sessionStorage.removeItem('balsa-token');
}

export const hasToken = () => token !== '';

export class Refused extends Error {
  constructor(message, code, status) {
    super(message);
    this.code = code;
    this.status = status;
  }

  // unproven tells that somebody has to log in.
  get unproven() {
    return this.status === 401 || /user name is empty|invalid auth token/.test(this.message);
  }
}

function headers(more) {
  const all = { 'X-Balsa-Dashboard': '1', ...more };
  if (token) all.Authorization = token;
  return all;
}

async function failed(response) {
  let text = response.statusText;
  let code = 0;
  try {
    const e = await response.json();
    text = e.message || text;
    code = e.code;
  } catch { /* it is no JSON: a proxy has answered */ }
  throw new Refused(text, code, response.status);
}

const unreachable = () => new Refused('The server does not answer.', 14, 0);

// post asks for one thing.
export async function post(path, body, signal) {
  let response;
  try {
    response = await fetch('api/' + path, { method: 'POST', headers: headers({ 'Content-Type': 'application/json' }), body: JSON.stringify(body || {}), signal });
  } catch (e) {
    throw e.name === 'AbortError' ? e : unreachable();
  }
  if (!response.ok) await failed(response);
  return response.json();
}

// pieces reads a body piece by piece, and calls each with what stands between separators.
async function pieces(response, separator, each) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split(separator);
    rest = parts.pop();
    parts.forEach(each);
  }
}

// overviews calls each with what the server sends, until it ends. It throws what has ended it.
export async function overviews(each, signal) {
  let response;
  try {
    response = await fetch('api/overview', { headers: headers(), signal });
  } catch {
    throw unreachable();
  }
  if (!response.ok) await failed(response);
  let failure = null;
  try {
    await pieces(response, '\n\n', (event) => {
      const [kind, data] = event.split('\n');
      const value = JSON.parse(data.slice('data: '.length));
      if (kind === 'event: overview') each(value);
      else failure = new Refused(value.message, value.code, value.code === 16 ? 401 : 503);
    });
  } catch (e) {
    if (signal.aborted) throw e;
  }
  throw failure || unreachable();
}

// watch calls each with the responses of a watcher, until it ends.
export async function watch(request, each, signal) {
  let response;
  try {
    response = await fetch('api/v3/watch', {
      method: 'POST', headers: headers({ 'Content-Type': 'application/json' }), body: JSON.stringify({ create_request: request }), signal,
    });
  } catch (e) {
    throw e.name === 'AbortError' ? e : unreachable();
  }
  if (!response.ok) await failed(response);
  await pieces(response, '\n', (line) => {
    const m = JSON.parse(line);
    if (m.error) throw new Refused(m.error.message, m.error.code, 0);
    each(m.result);
  });
}

// The methods of the etcd API.

export const range = (request, signal) => post('v3/kv/range', request, signal);
export const leases = () => post('v3/lease/leases', {});
export const timeToLive = (id) => post('v3/lease/timetolive', { ID: id, keys: true });
export const revoke = (id) => post('v3/lease/revoke', { ID: id });

export const usersList = async () => (await post('v3/auth/user/list')).users || [];
export const userOf = async (name) => ({ name, roles: (await post('v3/auth/user/get', { name })).roles || [] });
export const rolesList = async () => (await post('v3/auth/role/list')).roles || [];
export const roleOf = async (name) => ({ name, rights: (await post('v3/auth/role/get', { role: name })).perm || [] });

// spanOf is the span of all keys with a prefix.
export function spanOf(prefix) {
  if (!prefix.length) return { key: 'AA==', range_end: 'AA==' };
  return { key: encode(prefix), range_end: encode(afterPrefix(prefix)) };
}

// change changes a key if it is still as it was seen: modRevision is that of the version that was seen, 0 if
// there was none. operation is what to do.
async function change(key, modRevision, operation) {
  const r = await post('v3/kv/txn', {
    compare: [{ key: encode(key), target: 'MOD', result: 'EQUAL', mod_revision: String(modRevision) }],
    success: [operation],
  });
  if (!r.succeeded) {
    throw new Refused(modRevision === '0' || modRevision === 0
      ? 'There is such a key already. Nothing was changed.'
      : 'Somebody has changed the key meanwhile. Nothing was changed: look at it again.', 10, 409);
  }
  return r.header.revision;
}

export const put = (key, value, modRevision, lease) => change(key, modRevision, { request_put: { key: encode(key), value: encode(value), lease: lease || '0' } });
export const del = (key, modRevision) => change(key, modRevision, { request_delete_range: { key: encode(key) } });
