// Uploads large bodies that are refused, by `fetch` and over HTTP/2, and prints what came of each as JSON.
// Its one argument: {"address", "uploads": [{"method", "path", "token", "mebibytes", "status"}], "times"}.
const http2 = require('node:http2');
const { Readable } = require('node:stream');

const { address, uploads, times } = JSON.parse(process.argv[2]);
const body = (mebibytes) => Buffer.alloc(mebibytes * 1024 * 1024, 0x20);
const headersOf = (token) => ({
  'content-type': 'application/json',
  ...(token ? { authorization: `Bearer ${token}` } : {}),
});

async function byFetch({ method, path, token, mebibytes }) {
  const answer = await fetch(`http://${address}${path}`, { method, headers: headersOf(token), body: body(mebibytes) });
  return [answer.status, (await answer.json()).error.code];
}

async function* pieces(mebibytes) {
  const piece = Buffer.alloc(64 * 1024, 0x20);
  for (let sent = 0; sent < mebibytes * 16; sent++) yield piece;
}

async function byStream({ method, path, token, mebibytes }) {
  const options = { method, headers: headersOf(token), body: pieces(mebibytes), duplex: 'half' };
  const answer = await fetch(`http://${address}${path}`, options);
  return [answer.status, (await answer.json()).error.code];
}

function byHttp2({ method, path, token, mebibytes }) {
  return new Promise((resolve, reject) => {
    const session = http2.connect(`http://${address}`);
    session.on('error', reject);
    const stream = session.request({ ':method': method, ':path': path, ...headersOf(token) });
    let status;
    let text = '';
    stream.on('response', (headers) => { status = headers[':status']; });
    stream.setEncoding('utf8');
    stream.on('data', (piece) => { text += piece; });
    stream.on('error', reject);
    stream.on('end', () => {
      session.destroy();
      try { resolve([status, JSON.parse(text).error.code]); } catch (error) { reject(error); }
    });
    Readable.from(pieces(mebibytes)).on('error', reject).pipe(stream);
  });
}

(async () => {
  const results = [];
  for (const [name, send] of [['fetch', byFetch], ['stream', byStream], ['http2', byHttp2]]) {
    for (const upload of uploads) {
      for (let time = 0; time < times; time++) {
        const result = await send(upload).catch((error) => [0, String(error.cause?.code ?? error.code ?? error)]);
        results.push({ name, path: upload.path, mebibytes: upload.mebibytes, wanted: upload.status, status: result[0], code: result[1] });
      }
    }
  }
  console.log(JSON.stringify(results));
  process.exit(0);
})();
