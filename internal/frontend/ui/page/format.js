// How numbers, times and bytes are shown.

const group = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

export function count(n) {
  return n === null || n === undefined ? '–' : group.format(n);
}

// short is a number in at most four characters and a unit.
export function short(n) {
  for (const [limit, unit] of [[1e9, 'G'], [1e6, 'M'], [1e3, 'k']]) {
    if (n >= limit) return (n / limit).toFixed(n / limit < 10 ? 1 : 0) + unit;
  }
  return n < 10 && n % 1 ? n.toFixed(1) : String(Math.round(n));
}

export function bytes(n) {
  if (!n) return '0 B';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) { n /= 1024; i++; }
  return (i && n < 10 ? n.toFixed(1) : Math.round(n)) + ' ' + units[i];
}

// micros is a time that is given in microseconds.
export function micros(us) {
  if (!us) return '–';
  if (us < 1000) return Math.round(us) + ' µs';
  if (us < 1e6) return (us / 1000).toFixed(us < 1e4 ? 1 : 0) + ' ms';
  return (us / 1e6).toFixed(1) + ' s';
}

// span is a long time, that is given in milliseconds.
export function span(ms) {
  const s = Math.floor(ms / 1000);
  if (s < 120) return s + ' s';
  if (s < 7200) return Math.floor(s / 60) + ' min';
  if (s < 172800) return Math.floor(s / 3600) + ' h';
  return Math.floor(s / 86400) + ' days';
}

export function clock(ms) {
  return new Date(ms).toLocaleTimeString('en-GB');
}

// Bytes travel in base64.

export function decode(base64) {
  return Uint8Array.from(atob(base64 || ''), (c) => c.charCodeAt(0));
}

export function encode(data) {
  let s = '';
  for (let i = 0; i < data.length; i += 0x8000) s += String.fromCharCode(...data.subarray(i, i + 0x8000));
  return btoa(s);
}

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

// textOf is data as text; null if it is none.
export function textOf(data) {
  try {
    const s = strict.decode(data);
    return /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/.test(s) ? null : s;
  } catch {
    return null;
  }
}

// show is data on one line: text, in which \xNN stands for a byte that is none, and \\ for a backslash.
export function show(data) {
  const text = textOf(data);
  if (text !== null && !/[\\\n\r\t\u202a-\u202e\u2066-\u2069\u200b-\u200f]/.test(text)) return text;
  let s = '';
  for (let i = 0; i < data.length; i++) {
    const b = data[i];
    if (b === 0x5c) s += '\\\\';
    else if (b >= 0x20 && b < 0x7f) s += String.fromCharCode(b);
    else s += '\\x' + b.toString(16).padStart(2, '0');
  }
  return s;
}

// parse is the inverse of show.
export function parse(text) {
  const out = [];
  const parts = text.split(/(\\x[0-9a-fA-F]{2}|\\\\)/);
  for (const p of parts) {
    if (/^\\x[0-9a-fA-F]{2}$/.test(p)) out.push(parseInt(p.slice(2), 16));
    else if (p === '\\\\') out.push(0x5c);
    else out.push(...new TextEncoder().encode(p));
  }
  return Uint8Array.from(out);
}

export function hex(data) {
  const lines = [];
  for (let at = 0; at < data.length; at += 16) {
    const row = Array.from(data.subarray(at, at + 16));
    const left = row.map((b) => b.toString(16).padStart(2, '0')).join(' ').padEnd(48);
    lines.push(at.toString(16).padStart(6, '0') + '  ' + left + ' ' + row.map((b) => (b >= 0x20 && b < 0x7f ? String.fromCharCode(b) : '·')).join(''));
  }
  return lines.join('\n');
}

// afterPrefix is the end of the span of a prefix: the first key that does not begin so.
export function afterPrefix(prefix) {
  const end = Array.from(prefix);
  while (end.length && end[end.length - 1] === 0xff) end.pop();
  if (!end.length) return Uint8Array.of(0); // to the end of all keys
  end[end.length - 1]++;
  return Uint8Array.from(end);
}
