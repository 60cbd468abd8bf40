// Sends a file in chunks: with progress, to be cancelled, and to be resumed after a lost connection or a closed page.
const RETRIES = 6;
const MAX_SIZE = 2 * 1024 ** 3;
const REMEMBERED = "opsweb-uploads";

export class UploadError extends Error {}

// What a file is, by its first bytes: "program", "archive", "config"; throws an UploadError with the sentence for people.
export async function kindOf(file) {
  const head = new Uint8Array(await file.slice(0, 512).arrayBuffer());
  const starts = (...bytes) => bytes.every((byte, at) => head[at] === byte);
  const text = new TextDecoder().decode(head);
  if (starts(0x7f, 0x45, 0x4c, 0x46)) return "program";
  const isPacked = starts(0x50, 0x4b) || starts(0x1f, 0x8b) || starts(0xfd, 0x37, 0x7a) || starts(0x28, 0xb5, 0x2f, 0xfd) || starts(0x42, 0x5a, 0x68);
  if (isPacked || text.slice(257, 262) === "ustar") return "archive";
  if (text.trimStart().startsWith("{") || file.name.endsWith(".json")) return "config";
  throw new UploadError(`${file.name} is neither a Linux program (ELF) nor an archive (tar, zip) nor a config.json.`);
}

// onProgress(received, size). `signal` of an AbortController cancels, and the server forgets the bytes.
export async function upload(file, { team, onProgress, signal }) {
  if (file.size > MAX_SIZE) throw new UploadError(`${file.name} is larger than 2 GiB.`);
  const key = `${team}/${file.name}/${file.size}/${file.lastModified}`;
  let state = await resume(key) ?? await begin(file, team);
  remember(key, state.id);
  try {
    state = await send(file, state, onProgress, signal);
  } catch (error) {
    if (!signal?.aborted) throw error;
    await call("DELETE", `/api/v1/uploads/${state.id}/`).catch(() => {});
    forget(key);
    throw error;
  }
  forget(key);
  return state;
}

async function send(file, start, onProgress, signal) {
  let state = start;
  let failures = 0;
  onProgress?.(state.received, file.size);
  while (state.received < file.size) {
    signal?.throwIfAborted();
    const chunk = file.slice(state.received, state.received + (start.chunk_size ?? 8388608));
    try {
      const next = await put(state.id, state.received, chunk, (sent) => onProgress?.(state.received + sent, file.size), signal);
      state = { ...state, received: next.received };
      failures = 0;
    } catch (error) {
      if (signal?.aborted || error instanceof UploadError || ++failures > RETRIES) throw error;
      await pause(300 * 2 ** failures, signal);
      state = { ...state, ...(await call("GET", `/api/v1/uploads/${state.id}/`).catch(() => ({}))) };
    }
    onProgress?.(state.received, file.size);
  }
  return state;
}

// XMLHttpRequest, because fetch tells nothing of a body on its way.
function put(id, offset, chunk, onSent, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", `/api/v1/uploads/${id}/`);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.setRequestHeader("Upload-Offset", offset);
    request.setRequestHeader("X-CSRFToken", csrfToken());
    request.upload.onprogress = (event) => onSent(event.loaded);
    request.onload = () => {
      const body = parse(request.responseText);
      if (request.status < 300) resolve(body);
      else if (body.code === "upload_offset" && body.fields?.received) resolve({ received: body.fields.received[0] });
      else if (request.status >= 500) reject(new Error(body.message));
      else reject(new UploadError(body.message ?? `The panel refused the upload (${request.status}).`));
    };
    request.onerror = () => reject(new Error("The connection was lost."));
    request.onabort = () => reject(signal.reason);
    signal?.addEventListener("abort", () => request.abort(), { once: true });
    request.send(chunk);
  });
}

// The panel keeps 200 characters of a name; a file system lets it have more.
const begin = (file, team) => call("POST", "/api/v1/uploads/", { filename: [...file.name].slice(0, 200).join(""), size: file.size, team });

async function resume(key) {
  const id = remembered()[key];
  if (!id) return null;
  try {
    const state = await call("GET", `/api/v1/uploads/${id}/`);
    return state.received < state.size ? state : null;
  } catch {
    forget(key);
    return null;
  }
}

// A call of the REST API with the session; throws an UploadError with the server's sentence.
export async function call(method, url, body) {
  const headers = { "X-CSRFToken": csrfToken(), Accept: "application/json", ...(body ? { "Content-Type": "application/json" } : {}) };
  const response = await fetch(url, { method, headers, body: body && JSON.stringify(body) });
  const answer = parse(await response.text());
  if (response.ok) return answer;
  const error = new UploadError(answer.message ?? `The panel answered ${response.status}.`);
  error.fields = answer.fields ?? {};
  throw error;
}

const csrfToken = () => JSON.parse(document.body.getAttribute("hx-headers"))["X-CSRFToken"];

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}

const pause = (ms, signal) => new Promise((resolve, reject) => {
  const timer = setTimeout(resolve, ms);
  signal?.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); }, { once: true });
});

const remembered = () => parse(localStorage.getItem(REMEMBERED) ?? "{}");
const remember = (key, id) => localStorage.setItem(REMEMBERED, JSON.stringify({ ...remembered(), [key]: id }));

function forget(key) {
  const { [key]: _, ...rest } = remembered();
  localStorage.setItem(REMEMBERED, JSON.stringify(rest));
}
