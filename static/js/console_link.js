// The console's socket: replay from an offset, acknowledge what is drawn, resume after a break without loss or repeat. Protocol:
// docs/architecture.md, "Console". Handlers: onBytes(bytes, done), onGap(from, to), onHello(message), onRoles(message), onState(message), onLink(state, reason).
const WINDOW = 262144;
const FIRST_RETRY_MS = 400;
const LAST_RETRY_MS = 10000;
const REFUSED = [4401, 4403, 4404];

export class ConsoleLink {
  constructor(url, handlers) {
    this.url = url;
    this.handlers = handlers;
    this.next = null; // the offset behind the last byte taken; null: nothing yet, send the whole kept window
    this.drawn = 0;
    this.retry = FIRST_RETRY_MS;
    this.connect();
  }

  connect() {
    const socket = new WebSocket(this.url);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    socket.onopen = () => {
      this.retry = FIRST_RETRY_MS;
      this.say({ type: "open", from: this.next, window: WINDOW });
    };
    socket.onmessage = ({ data }) => {
      if (socket !== this.socket) return;
      if (typeof data === "string") this.told(JSON.parse(data));
      else this.took(data);
    };
    socket.onclose = ({ code }) => this.closed(code);
  }

  took(data) {
    const start = Number(new DataView(data).getBigUint64(0));
    let bytes = new Uint8Array(data, 8);
    const skip = this.next === null ? 0 : Math.min(bytes.length, Math.max(0, this.next - start));
    if (this.next !== null && start > this.next) this.handlers.onGap(this.next, start);
    bytes = bytes.subarray(skip);
    this.next = Math.max(this.next ?? 0, start + skip + bytes.length);
    const end = start + skip + bytes.length;
    const { socket } = this;
    this.handlers.onBytes(bytes, () => {
      // Acknowledged when it is on the screen: a slow browser stops the server, not the guest.
      if (socket === this.socket) this.say({ type: "ack", offset: end });
    });
  }

  told(message) {
    const { handlers } = this;
    if (message.type === "hello") {
      if (this.next !== null && this.next > message.end) this.next = message.end; // another log: the instance was made anew
      handlers.onLink("on");
      handlers.onHello(message);
      handlers.onRoles(message);
    } else if (message.type === "writer") handlers.onRoles(message);
    else if (message.type === "gap") {
      handlers.onGap(message.from, message.to);
      this.next = Math.max(this.next ?? 0, message.to);
    } else if (message.type === "state") handlers.onState(message);
    else if (message.type === "bye") this.reason = message.reason;
  }

  closed(code) {
    if (this.reason || REFUSED.includes(code)) {
      this.handlers.onLink("ended", this.reason ?? "This console is not yours to see any more.");
      return;
    }
    this.handlers.onLink("off");
    setTimeout(() => this.connect(), this.retry * (0.75 + Math.random() / 2));
    this.retry = Math.min(this.retry * 2, LAST_RETRY_MS);
  }

  say(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }
}
