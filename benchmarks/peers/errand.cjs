// What errand.py is, for the scripts that run in Node.

const { setTimeout: sleep } = require("node:timers/promises");
const { Client } = require("pg");

const PATIENCE = 240_000;
const LEAD = 2_000;
const APART = 97;

const asked = JSON.parse(process.env.PEER_ERRAND);

function answer(measured) {
  console.log(JSON.stringify(measured));
}

/** `pg` takes the directory of the server's socket as its host. */
function connection() {
  const address = new URL(asked.database.replace("@/", "@localhost/"));
  return {
    host: address.searchParams.get("host"),
    port: Number(address.searchParams.get("port")),
    user: address.username,
    database: address.pathname.slice(1),
  };
}

async function session() {
  const client = new Client(connection());
  await client.connect();
  return {
    end: () => client.end(),
    run: (statement) => client.query(statement),
    told: async (statement) => Object.values((await client.query(statement)).rows[0])[0],
  };
}

/** From the first sign of work until the last outcome is kept, as the peer's own store tells. */
async function secondsBetween(begun, done) {
  await waitUntil(begun, 2);
  const began = performance.now();
  await waitUntil(done, 20);
  return (performance.now() - began) / 1000;
}

async function waitUntil(done, every) {
  const deadline = performance.now() + PATIENCE;
  while (!(await done())) {
    if (performance.now() > deadline) throw new Error("what was waited for did not come");
    await sleep(every);
  }
}

/** Milliseconds since 1970. */
function fireTimes(number) {
  const first = Date.now() + LEAD;
  return Array.from({ length: number }, (_, each) => first + each * APART);
}

module.exports = { asked, answer, connection, session, secondsBetween, waitUntil, fireTimes };
