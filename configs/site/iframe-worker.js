// The search runs in a worker, and browsers start none for a page that was opened as a file: a hidden frame does for it.
if (location.protocol === "file:")
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.frame.srcdoc = `<script src="${url}"></script>`;
      this.loaded = new Promise(resolve => this.frame.addEventListener("load", resolve)).then(() => {
        this.frame.contentWindow.postMessage = data => this.dispatchEvent(new MessageEvent("message", {data}));
      });
      document.body.append(this.frame);
    }

    async postMessage(data) {
      await this.loaded;
      this.frame.contentWindow.dispatchEvent(new MessageEvent("message", {data}));
    }
  };
