/** Builds the client programs, starts the servers, runs one suite for each client, and says what passed. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runAcl } from './acl.ts'
import { runClassic } from './classic.ts'
import {
  ACL_CLIENT,
  CHANGING_MQADMINS,
  CLASSIC_CLIENTS,
  CLIENTS,
  DLEDGER_READER,
  FILTER_PEER,
  MQADMINS,
  missingCommand,
  RETENTION_CLIENT,
  STORE_PEER,
  type Client,
} from './clients.ts'
import { runDLedgerFiles } from './dledger-files.ts'
import { runFilters } from './filters.ts'
import { runGroupSuite } from './group-suite.ts'
import { runMqadminChanging } from './mqadmin-changing.ts'
import { runMqadmin } from './mqadmin.ts'
import { parseOptions, type Options } from './options.ts'
import { Report } from './report.ts'
import { runRetention } from './retention.ts'
import { runStoreFiles } from './store-files.ts'
import { openGroup, type TestGroup } from './test-group.ts'

/** Of those that have a group of their own, on two cores. */
const SUITES_AT_ONCE = 3

/** Returns the exit status. */
export async function main(args: readonly string[]): Promise<number> {
  // The children and servers are stopped by handlers of 'exit', which a signal alone does not run.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1))
  let options: Options
  try {
    options = parseOptions(args)
  } catch (failure) {
    console.error(failure instanceof Error ? failure.message : failure)
    return 1
  }
  const report = new Report()
  if (options.only.length === 0 || options.only.includes(DLEDGER_READER.name)) {
    await runDLedgerFiles(DLEDGER_READER, report)
  }
  if (options.only.length === 0 || options.only.includes(STORE_PEER.name)) await runStoreFiles(STORE_PEER, report)
  if (options.only.length === 0 || options.only.includes(FILTER_PEER.name)) await runFilters(FILTER_PEER, report)
  if (options.namesrv === undefined) await report.together(ownGroupSuites(options), SUITES_AT_ONCE)
  const clients = await built(options, report)
  const plain = clients.filter((client) => client.tls !== true)
  if (plain.length > 0) await runSuites(options, plain, report)
  const tls = clients.filter((client) => client.tls === true)
  if (tls.length > 0) await runSuites(options, tls, report)
  return report.end()
}

/** Suites that have a group of their own each, and mostly wait: for a tool's three seconds a command, for a client's ten after a moved offset. */
function ownGroupSuites({ only }: Options): ((report: Report) => Promise<void>)[] {
  const suites: { readonly client: Client; readonly run: (client: Client, report: Report) => Promise<void> }[] = [
    ...CLASSIC_CLIENTS.map((client) => ({ client, run: runClassic })),
    { client: RETENTION_CLIENT, run: (_, report) => runRetention(report) },
    { client: ACL_CLIENT, run: (_, report) => runAcl(report) },
    ...MQADMINS.map((client) => ({ client, run: runMqadmin })),
    ...CHANGING_MQADMINS.map((client) => ({ client, run: runMqadminChanging })),
  ]
  return suites
    .filter(({ client }) => only.length === 0 || only.includes(client.name))
    .map(
      ({ client, run }) =>
        (report) =>
          run(client, report),
    )
}

/** The clients that were asked for and can run here. */
async function built(options: Options, report: Report): Promise<Client[]> {
  const ready: Client[] = []
  for (const client of CLIENTS) {
    if (options.only.length > 0 && !options.only.includes(client.name)) continue
    const missing = await missingCommand(client)
    if (missing !== undefined) {
      report.skipped(client.name, `${missing} is not installed`)
      continue
    }
    try {
      await client.build()
      ready.push(client)
    } catch (failure) {
      report.suite(client.name)
      report.check('the client program builds', false, failure instanceof Error ? failure.message : String(failure))
    }
  }
  return ready
}

async function runSuites(options: Options, clients: readonly Client[], report: Report): Promise<void> {
  let group: TestGroup
  try {
    group = await openGroup(options, clients[0]?.tls === true)
  } catch (failure) {
    report.suite('servers')
    report.check('the group starts', false, failure instanceof Error ? failure.message : String(failure))
    return
  }
  const workDirectory = mkdtempSync(join(tmpdir(), 'interop-'))
  try {
    for (const client of clients) {
      const startedAtMs = performance.now()
      report.suite(client.name)
      await runGroupSuite(client, group, report, workDirectory)
      console.log(`  took ${((performance.now() - startedAtMs) / 1000).toFixed(0)} s`)
    }
  } finally {
    await group.close()
    if (report.failed) console.log(`\nlogs of the clients: ${workDirectory}`)
    else rmSync(workDirectory, { recursive: true, force: true })
  }
}
