// Sends what was moved, and only that, to /predict; the rest comes from the published row.
(() => {
  const panel = document.getElementById("what-if");
  const sliders = [...panel.querySelectorAll("input[type=range]")];
  const published = Number(panel.dataset.risk);
  const result = document.getElementById("what-if-risk");
  const change = document.getElementById("what-if-change");
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
  const moved = () => Object.fromEntries(
    sliders.filter((s) => s.dataset.moved).map((s) => [s.name, Number(s.value)]));
  const ask = async () => {
    const number = ++asked;
    const body = JSON.stringify({ user_id: panel.dataset.user, features: moved() });
    try {
      const answer = await fetch("/predict", { method: "POST", body, headers: { "Content-Type": "application/json" } });
      const content = await answer.json();
      if (number !== asked) return;
      if (answer.ok) return show(content.churn_risk);
      change.className = "worse";
      change.textContent = answer.status === 401 ? "Your session has ended. Reload the page to sign in." : content.detail;
    } catch {
      change.className = "worse";
      change.textContent = "The server cannot be reached just now.";
    }
  };
  panel.addEventListener("input", (event) => {
    const slider = event.target;
    slider.dataset.moved = "yes";
    slider.parentElement.classList.add("moved");
    slider.nextElementSibling.textContent = Number(slider.value).toLocaleString("en");
    reset.disabled = false;
    clearTimeout(waiting);
    waiting = setTimeout(ask, 120);
  });
  reset.addEventListener("click", () => {
    for (const slider of sliders) {
      slider.value = slider.dataset.published || 0;
      delete slider.dataset.moved;
      slider.parentElement.classList.remove("moved");
      slider.nextElementSibling.textContent =
        slider.dataset.published === "" ? "not known" : Number(slider.dataset.published).toLocaleString("en", { maximumFractionDigits: 2 });
    }
    clearTimeout(waiting);
    asked += 1;
    reset.disabled = true;
    show(published);
    change.textContent = "as published";
  });
})();
