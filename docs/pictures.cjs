// Take the README's pictures of a run that is there: TensorBoard's table, MLflow's comparison, Ray's dashboard.
//
//   npm install --prefix /tmp/pictures playwright-core
//   export NODE_PATH=/tmp/pictures/node_modules
//   tensorboard --logdir artifacts/tune &   castlewalls mlflow &        after castlewalls run amplification
//   node docs/pictures.cjs tensorboard http://127.0.0.1:6006
//   node docs/pictures.cjs mlflow http://127.0.0.1:5000
//   node docs/pictures.cjs ray http://127.0.0.1:8265                    during castlewalls run ... --dashboard
//
// Ray's token is taken from RAY_AUTH_TOKEN; give the run the same one.  CASTLEWALLS_BROWSER names another Chromium.

const { chromium } = require("playwright-core");
const path = require("path");

const COMPARED = ["0.01", "0.1"].flatMap((ratio) => [1, 2, 5].map((weight) => `badnets1-p${ratio}-w${weight}-`));

async function tensorboard(page, url) {
  await page.setViewportSize({ width: 1750, height: 900 });
  await page.goto(`${url}/#hparams`);
  await page.getByText("TABLE VIEW").waitFor();
  for (const same of ["sampler", "seed", "ray/tune/mismatch_ratio"]) {
    await page.getByText(same, { exact: true }).first().click();
  }
  await page.waitForTimeout(3000);
  return { x: 352, y: 64, width: 1398, height: 768 };
}

async function mlflow(page, url) {
  await page.setViewportSize({ width: 1650, height: 1600 });
  await page.addInitScript(() => {
    localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true"); // it hides the page
    localStorage.setItem("mlflow.assistant.panelOpen_v1", "false");
  });
  await page.goto(`${url}/#/experiments`);
  const ids = await page.evaluate(async (names) => {
    const ask = async (what, body) => {
      const headers = { "Content-Type": "application/json" };
      const answer = await fetch(`/ajax-api/2.0/mlflow/${what}`, { method: "POST", headers, body: JSON.stringify(body) });
      return answer.json();
    };
    const found = await ask("experiments/search", { filter: "name = 'amplification'", max_results: 1 });
    const { runs } = await ask("runs/search", { experiment_ids: [found.experiments[0].experiment_id], max_results: 1000 });
    return {
      experiment: found.experiments[0].experiment_id,
      runs: names.map((name) => runs.find((run) => run.info.run_name.startsWith(name)).info.run_id),
    };
  }, COMPARED);
  const asked = { runs: JSON.stringify(ids.runs), experiments: JSON.stringify([ids.experiment]) };
  await page.goto(`${url}/#/compare-runs?${new URLSearchParams({ ...asked, workflowType: "machine_learning" })}`);
  await page.getByText("Show diff only").first().click();
  await page.getByText("trigger_ratio", { exact: true }).first().waitFor();
  await page.waitForTimeout(3000);
  return { x: 200, y: 12, width: 1440, height: 1480 };
}

async function ray(page, url) {
  await page.setViewportSize({ width: 1500, height: 1000 });
  await page.goto(url);
  await page.getByPlaceholder("Enter your authentication token").fill(process.env.RAY_AUTH_TOKEN);
  await page.getByRole("button", { name: "Submit" }).click();
  await page.waitForTimeout(3000);
  const job = await page.evaluate(async () => (await (await fetch("/api/jobs/")).json())[0].job_id);
  await page.goto(`${url}/#/jobs/${job}`);
  for (const folded of ["Logs", "Task Timeline (beta)", "Cluster status and autoscaler", "Task Table"]) {
    await page.getByText(folded, { exact: true }).last().click();
  }
  await page.getByRole("combobox", { name: "Function or Class Name" }).click();
  await page.getByRole("option", { name: "_build", exact: true }).click();
  await page.getByText(/^Total: /).waitFor();
  await page.waitForTimeout(5000);
  const from = await page.getByText("Ray Core Overview", { exact: true }).boundingBox();
  const to = await page.getByText("Actor Table", { exact: true }).boundingBox();
  return { x: 65, y: from.y - 15, width: 1435, height: to.y - from.y - 10 };
}

const PICTURES = {
  tensorboard: [tensorboard, "tensorboard.png"],
  mlflow: [mlflow, "mlflow-compare.png"],
  ray: [ray, "ray-dashboard.png"],
};

async function main([kind, url]) {
  const [show, name] = PICTURES[kind];
  const sandbox = process.getuid() === 0 ? ["--no-sandbox"] : []; // root has none to give away
  const program = process.env.CASTLEWALLS_BROWSER || "/usr/bin/chromium";
  const browser = await chromium.launch({ executablePath: program, args: sandbox });
  try {
    const page = await browser.newPage();
    page.setDefaultTimeout(120_000);
    const clip = await show(page, url);
    await page.screenshot({ path: path.join(__dirname, name), clip, fullPage: true });
  } finally {
    await browser.close();
  }
}

main(process.argv.slice(2));
