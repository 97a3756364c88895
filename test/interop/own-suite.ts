/**
 * What suites have in common that bring servers of their own: they are left out where a command is missing, a failure is one check,
 * nothing stays running, and what was written stays only after a failure.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FastTry } from '../processes/group/fast-try.ts'
import { ClientProgram } from './client-program.ts'
import { type Client, missingCommand } from './clients.ts'
import type { Report } from './report.ts'

export interface OwnServers {
  readonly namesrv: string
  close(): Promise<void>
}

export interface OwnSuite<Servers extends OwnServers = FastTry> {
  readonly servers: Servers
  /** For logs and what else is written. */
  readonly root: string
  /** Last begun, first ended. */
  readonly atEnd: (end: () => Promise<void> | void) => void
}

/** On a group. @param conf keys of every broker's configuration. */
export async function runOwnSuite(
  client: Client,
  report: Report,
  conf: Readonly<Record<string, string>>,
  run: (suite: OwnSuite) => Promise<void>,
): Promise<void> {
  await runSuiteOn(
    () => FastTry.create({ conf }),
    client,
    report,
    async (suite) => {
      await suite.servers.start('--fresh')
      await suite.servers.leader()
      await run(suite)
    },
  )
}

export async function runSuiteOn<Servers extends OwnServers>(
  begin: () => Promise<Servers>,
  client: Client,
  report: Report,
  run: (suite: OwnSuite<Servers>) => Promise<void>,
): Promise<void> {
  const missing = await missingCommand(client)
  if (missing !== undefined) return report.skipped(client.name, `${missing} is not installed`)
  report.suite(client.name)
  const startedAtMs = performance.now()
  const root = mkdtempSync(join(tmpdir(), `interop-${client.name}-`))
  const ends: (() => Promise<void> | void)[] = []
  let isWell = false
  try {
    await client.build()
    const servers = await begin()
    ends.push(() => servers.close())
    await run({ servers, root, atEnd: (end) => ends.push(end) })
    isWell = true
  } catch (failure) {
    report.check('the suite runs to its end', false, failure instanceof Error ? failure.message : String(failure))
  } finally {
    for (const end of ends.toReversed()) await end()
    report.note(`took ${((performance.now() - startedAtMs) / 1000).toFixed(0)} s`)
    if (isWell) rmSync(root, { recursive: true, force: true })
    else report.note(`logs of the clients: ${root}`)
  }
}

/** A client whose checks are its own. */
export async function startClient(
  client: Client,
  suite: OwnSuite<OwnServers>,
  name: string,
  report: Report,
): Promise<ClientProgram> {
  const launch = client.launch(suite.servers.namesrv, `T_${name}`, `G_${name}`, suite.root)
  const program = await ClientProgram.start(launch, join(suite.root, `${name}.log`), (event) => {
    if (event.event === 'check') report.check(event.name, event.ok, event.detail)
  })
  suite.atEnd(() => program.kill())
  return program
}

/** Kills the leader, and waits until another leads and the former one is level again. */
export async function failOver(servers: FastTry): Promise<{ readonly killed: string; readonly leader: string }> {
  const killed = await servers.killLeader()
  const leader = await servers.leader(killed)
  await servers.expect(['restart', killed])
  await servers.caughtUp()
  return { killed, leader }
}
