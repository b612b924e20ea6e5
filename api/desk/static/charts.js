// Draws every canvas that names a chart, from the JSON beside it; again when the theme changes.
(() => {
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const shortDay = (text) =>
    new Date(`${text}T00:00:00Z`).toLocaleDateString("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
  const percent = (value) => (value === null ? "–" : `${(value * 100).toFixed(1)}%`);
  const line = (label, data, name, more) => ({
    label, data, borderColor: color(name), backgroundColor: color(name), borderWidth: 2,
    pointRadius: data.length > 20 ? 0 : 3, pointHoverRadius: 5, tension: 0.25, spanGaps: true, clip: 8, ...more,
  });
  const daysUntil = (last, count) =>
    Array.from({ length: count }, (_, i) => {
      const day = new Date(`${last}T00:00:00Z`);
      day.setUTCDate(day.getUTCDate() - (count - 1 - i));
      return day.toISOString().slice(0, 10);
    });
  const kinds = {
    bands: (data) => ({
      type: "bar", stacked: true, legend: true, labels: data.dates,
      datasets: ["high", "medium"].map((band) => ({
        label: band[0].toUpperCase() + band.slice(1), data: data.series[band],
        backgroundColor: color(`chart-${band}`), maxBarThickness: 36, borderRadius: 3,
      })),
    }),
    precision: (data) => ({
      type: "line", legend: true, share: true, labels: data.dates,
      datasets: [
        line("Expected", data.expected, "chart-medium", { borderDash: [5, 4] }),
        line("Realised", data.realised, "chart-line"),
      ],
    }),
    history: (data) => ({
      type: "line", share: true, labels: data.map((one) => one.as_of_date),
      datasets: [line("Churn risk", data.map((one) => one.churn_risk), "chart-high", { fill: false })],
    }),
    activity: (data) => ({
      type: "bar", labels: daysUntil(data.until, data.events.length),
      datasets: [{ label: "Events", data: data.events, backgroundColor: color("chart-line"), maxBarThickness: 36, borderRadius: 2 }],
    }),
  };
  const drawn = new Map();
  const draw = (canvas) => {
    const data = JSON.parse(document.getElementById(`${canvas.id}-data`).textContent);
    const { type, labels, datasets, stacked = false, legend = false, share = false } = kinds[canvas.dataset.chart](data);
    const ink = color("muted");
    drawn.get(canvas)?.destroy();
    drawn.set(canvas, new Chart(canvas, {
      type,
      data: { labels, datasets },
      options: {
        animation: false, responsive: true, maintainAspectRatio: false,
        layout: { padding: { top: 6 } },
        interaction: { mode: "index", intersect: false },
        plugins: {
          legend: { display: legend, align: "end", labels: { color: ink, boxWidth: 10, boxHeight: 10 } },
          tooltip: { callbacks: {
            title: (items) => shortDay(items[0].label),
            label: (item) => `${item.dataset.label}: ${share ? percent(item.raw) : item.raw}`,
          } },
        },
        scales: {
          x: { stacked, grid: { display: false }, border: { color: color("line") },
            ticks: { color: ink, maxRotation: 0, autoSkipPadding: 18, callback: (_, i) => shortDay(labels[i]) } },
          y: { stacked, beginAtZero: true, suggestedMax: share ? 1 : undefined, max: share ? 1 : undefined,
            grid: { color: color("chart-grid") }, border: { display: false },
            ticks: { color: ink, maxTicksLimit: 5, precision: share ? undefined : 0, callback: (v) => (share ? `${Math.round(v * 100)}%` : v.toLocaleString("en")) } },
        },
      },
    }));
  };
  const all = () => {
    for (const [canvas, chart] of drawn) if (!canvas.isConnected) { chart.destroy(); drawn.delete(canvas); }
    document.querySelectorAll("canvas[data-chart]").forEach(draw);
  };
  all();
  document.addEventListener("themechange", all);
})();
