// The list: records contacts without leaving the page, saved views, keys. All of it works without.
(() => {
  const content = document.getElementById("content");
  const all = (where) => [...content.querySelectorAll(where)];
  const remembered = ["campaign", "channel", "owner"];
  const read = (name) => { try { return JSON.parse(localStorage.getItem(name)) || {}; } catch { return {}; } };
  const write = (name, value) => {
    try { localStorage.setItem(name, JSON.stringify(value)); return true; } catch { return false; }
  };

  // Recording: send the form, put the answered page in place of this one.
  const say = (form, text) => {
    const said = form.querySelector(".said");
    said.textContent = text;
    said.hidden = false;
    said.scrollIntoView({ block: "nearest" });
  };
  const trouble = async (answer) => {
    if (answer.status === 401) return "Your session has ended. Reload the page to sign in.";
    const text = await answer.text();
    const told = new DOMParser().parseFromString(text, "text/html").getElementById("refusal");
    if (told) return told.textContent;
    try { return JSON.parse(text).detail; } catch { return "The server refused this."; }
  };
  content.addEventListener("submit", async (event) => {
    const form = event.target;
    if (!form.matches(".work")) return;
    event.preventDefault();
    if (form.dataset.busy) return;
    form.dataset.busy = "yes";
    const body = new URLSearchParams(new FormData(form, event.submitter));
    const place = rows().indexOf(event.submitter?.closest("tr"));
    write("contact", Object.fromEntries(remembered.map((name) => [name, body.get(name)])));
    try {
      const answer = await fetch(form.action, { method: "POST", body });
      if (!answer.ok) return say(form, await trouble(answer));
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      content.replaceChildren(...fresh.getElementById("content").childNodes);
      arrive();
      document.dispatchEvent(new Event("themechange")); // charts draw again
      if (place >= 0) show(Math.min(place, rows().length - 1));
    } catch {
      say(form, "The server cannot be reached just now. Nothing is lost: try again.");
    } finally {
      delete form.dataset.busy;
    }
  });

  // Selecting.
  const rows = () => all(".people tbody tr:not(.shared)");
  const count = () => {
    const chosen = all(".pick input:checked").length;
    for (const text of all(".chosen-count")) text.textContent = chosen ? `${chosen} selected:` : "Select users, then:";
    for (const box of all(".all")) box.checked = chosen > 0 && chosen === all(".pick input").length;
  };
  content.addEventListener("change", (event) => {
    if (event.target.matches(".all")) for (const box of all(".pick input")) box.checked = event.target.checked;
    count();
  });

  // Keys.
  let current = -1;
  const show = (number) => {
    const list = rows();
    if (!list[number]) return;
    list[current]?.classList.remove("current");
    current = number;
    list[current].classList.add("current");
    list[current].querySelector(".who a").focus();
    list[current].scrollIntoView({ block: "nearest" });
  };
  const press = (where) => rows()[current]?.querySelector(where)?.click();
  const keys = {
    j: () => show(current + 1),
    k: () => show(Math.max(0, current - 1)),
    x: () => press(".pick input"),
    c: () => press(".do"),
    u: () => content.querySelector(".undo")?.click(),
    "/": () => {
      const field = document.getElementById("search");
      if (!field) return;
      field.closest("details").open = true;
      field.focus();
    },
    "?": () => document.getElementById("keys")?.showModal(),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.target.matches("input:not([type=checkbox]), textarea, select") || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
  content.addEventListener("focusin", (event) => {
    const number = rows().indexOf(event.target.closest("tr"));
    if (number < 0 || number === current) return;
    rows()[current]?.classList.remove("current");
    current = number;
    rows()[current].classList.add("current");
  });
  content.addEventListener("click", (event) => { if (event.target.closest(".keys-help")) keys["?"](); });

  // Saved views: a name for a set of filters, in this browser.
  const draw = (list) => {
    const views = read("views");
    list.replaceChildren(...Object.entries(views).map(([name, query]) => {
      const item = document.createElement("li");
      const link = document.createElement("a");
      link.href = `/desk/users?${query}`;
      link.textContent = name;
      const remove = document.createElement("button");
      remove.type = "button";
      remove.textContent = "×";
      remove.setAttribute("aria-label", `Remove the view ${name}`);
      remove.addEventListener("click", () => { delete views[name]; write("views", views); draw(list); });
      item.append(link, remove);
      return item;
    }));
  };
  content.addEventListener("submit", (event) => {
    if (!event.target.matches(".save-view")) return;
    event.preventDefault();
    const fields = new FormData(content.querySelector(".filters"));
    const query = new URLSearchParams([...fields].filter(([, value]) => value));
    const name = new FormData(event.target).get("name").trim();
    if (!name) return;
    if (!write("views", { ...read("views"), [name]: query.toString() })) return;
    event.target.reset();
    draw(content.querySelector(".views ul"));
  });

  // What the page needs when it is new.
  const arrive = () => {
    current = -1;
    for (const box of all(".all, .keys-help, .views")) box.hidden = false;
    for (const list of all(".views ul")) draw(list);
    const before = read("contact");
    for (const name of remembered) {
      for (const field of all(`.work [name=${name}]`)) if (before[name]) field.value = before[name];
    }
    count();
  };
  arrive();
})();
