// A widget's model on a page without a kernel.

/** What anywidget gives to an explorer, without anybody behind it: nothing leaves the page. */
class SavedModel {
  widget_manager = { kernel: null };
  listeners = new Map();

  constructor(state) {
    this.state = state;
  }

  get(name) {
    return this.state[name];
  }

  set(name, value) {
    const isOld = JSON.stringify(value) === JSON.stringify(this.state[name]);
    this.state[name] = value;
    if (isOld) return;
    for (const event of [`change:${name}`, "change"]) for (const listener of this.of(event)) listener(this, value);
  }

  of(event) {
    return this.listeners.get(event) ?? [];
  }

  on(event, listener) {
    this.listeners.set(event, [...this.of(event), listener]);
  }

  off(event, listener) {
    this.listeners.set(event, listener ? this.of(event).filter((each) => each !== listener) : []);
  }

  save_changes() {}

  send() {}
}
