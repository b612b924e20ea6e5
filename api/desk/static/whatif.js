// Sends what was moved, and only that, to /predict; the rest comes from the published row.
(() => {
  const panel = document.getElementById("what-if");
  const levers = [...panel.querySelectorAll("input[type=range], select")];
  const isNumber = (lever) => lever.type === "range";
  const published = Number(panel.dataset.risk);
  const result = document.getElementById("what-if-risk");
  const change = document.getElementById("what-if-change");
  const why = document.getElementById("what-if-why");
  const reset = document.getElementById("reset");
  const percent = (value) => `${(value * 100).toFixed(1)}%`;
  let waiting = 0;
  let asked = 0;

  const show = (risk) => {
    const points = (risk - published) * 100;
    result.textContent = percent(risk);
    change.className = points < -0.05 ? "better" : points > 0.05 ? "worse" : "muted";
    change.textContent = Math.abs(points) <= 0.05 ? "no change" : `${points > 0 ? "+" : "−"}${Math.abs(points).toFixed(1)} points`;
  };
  const explain = (content) => {
    const reasons = content.reasons || [];
    for (const list of why.querySelectorAll("ul")) {
      const told = reasons.filter((_, place) => content.effects[place] === list.dataset.effect);
      list.replaceChildren(...told.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
      list.parentElement.hidden = !told.length;
    }
    why.hidden = !reasons.length;
  };
  const refuse = (text) => {
    why.hidden = true;
    result.textContent = "–";
    change.className = "worse";
    change.textContent = text;
  };
  // What belongs together moves along: more days hold no fewer, and who was active is not silent.
  const named = (name) => levers.find((lever) => lever.name === name);
  const value = (lever) => Number(lever.value);
  const days = (lever) => Number(lever.dataset.days);
  const windows = (measure) =>
    levers.filter((lever) => lever.dataset.counts === measure).sort((one, other) => days(one) - days(other));
  const mark = (lever) => {
    lever.dataset.moved = "yes";
    lever.parentElement.classList.add("moved");
    if (isNumber(lever)) lever.nextElementSibling.textContent = value(lever).toLocaleString("en");
  };
  const put = (lever, low, high = Infinity) => {
    if (!lever || (value(lever) >= low && value(lever) <= high)) return;
    const wanted = value(lever) < low ? low : high;
    if (wanted > Number(lever.max)) lever.max = wanted;
    lever.value = wanted;
    mark(lever);
  };
  const spread = (lever) => {
    const measure = lever.dataset.counts;
    for (const other of windows(measure)) {
      const apart = days(other) - days(lever);
      const most = measure === "active_days" ? value(lever) + Math.max(apart, 0) : Infinity;
      if (apart > 0) put(other, value(lever), most);
      if (apart < 0) put(other, measure === "active_days" ? value(lever) + apart : 0, value(lever));
    }
  };
  const settle = (lever) => {
    const silence = named("days_since_last_activity");
    const active = windows("active_days");
    if (lever.dataset.counts) spread(lever);
    if (lever.dataset.counts === "events") {
      for (const one of active) put(one, 0, value(named(`events_${days(one)}d`) || one));
    } else if (lever === silence) {
      for (const one of active) {
        const has = value(silence) < days(one);
        put(one, has ? 1 : 0, has ? Infinity : 0);
      }
    }
    for (const one of active) spread(one);
    const idle = active.filter((one) => !value(one)).map(days);
    const came = active.filter(value).map(days);
    const ever = named("active_days_ever");
    const hasCome = came.length || !ever || value(ever); // else silence counts from signup
    if (silence && active.length && hasCome) put(silence, Math.max(0, ...idle), Math.min(...came) - 1);
    for (const one of active) {
      const events = named(`events_${days(one)}d`);
      put(events, value(one));
      if (events) spread(events);
    }
    for (const one of levers.filter((lever) => lever.name.endsWith("_ever")))
      put(one, Math.max(0, ...windows(one.name.slice(0, -"_ever".length)).map(value)));
    put(named("tenure_days"), Math.max(silence ? value(silence) : 0, ever ? value(ever) - 1 : 0));
  };
  const moved = () => Object.fromEntries(
    levers.filter((l) => l.dataset.moved).map((l) => [l.name, isNumber(l) ? Number(l.value) : l.value]));
  const ask = async () => {
    const number = ++asked;
    const body = JSON.stringify({ user_id: panel.dataset.user, features: moved(), explain: true });
    try {
      const answer = await fetch("/predict", { method: "POST", body, headers: { "Content-Type": "application/json" } });
      const content = await answer.json();
      if (number !== asked) return;
      if (answer.ok) {
        explain(content);
        return show(content.churn_risk);
      }
      refuse(answer.status === 401 ? "Your session has ended. Reload the page to sign in." : content.detail);
    } catch {
      refuse("The server cannot be reached just now.");
    }
  };
  panel.addEventListener("input", (event) => {
    const lever = event.target;
    mark(lever);
    if (isNumber(lever)) settle(lever);
    reset.disabled = false;
    clearTimeout(waiting);
    waiting = setTimeout(ask, 120);
  });
  reset.addEventListener("click", () => {
    for (const lever of levers) {
      lever.value = isNumber(lever) ? lever.dataset.published || 0 : lever.dataset.published;
      delete lever.dataset.moved;
      lever.parentElement.classList.remove("moved");
      if (!isNumber(lever)) continue;
      lever.nextElementSibling.textContent =
        lever.dataset.published === "" ? "not known" : Number(lever.dataset.published).toLocaleString("en", { maximumFractionDigits: 2 });
    }
    clearTimeout(waiting);
    asked += 1;
    reset.disabled = true;
    why.hidden = true;
    show(published);
    change.textContent = "as published";
  });
})();
