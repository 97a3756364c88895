/**
 * A group whose log is shorter than a backlog, and real consumers of it: those below the queue's minimum are told it and go on there,
 * those ahead see nothing of it, before and after the death of the leader.
 */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createTopic } from '../processes/group/admin.ts'
import { FastTry } from '../processes/group/fast-try.ts'
import { ClientProgram } from './client-program.ts'
import { missingCommand, RETENTION_CLIENT } from './clients.ts'
import type { Report } from './report.ts'

/** Files of 1 MiB, four of them kept; a backlog is ten. */
const CONF = { mappedFileSizeCommitLog: '1048576', maxMessageSize: '65536', retentionBytes: '4194304' }

export async function runRetention(report: Report): Promise<void> {
  const client = RETENTION_CLIENT
  const missing = await missingCommand(client)
  if (missing !== undefined) return report.skipped(client.name, `${missing} is not installed`)
  report.suite(client.name)
  const root = mkdtempSync(join(tmpdir(), 'interop-retention-'))
  let servers: FastTry | null = null
  let program: ClientProgram | null = null
  let isWell = false
  try {
    await client.build()
    servers = await FastTry.create({ conf: CONF })
    await servers.start('--fresh')
    await servers.leader()
    const name = `retention_${randomBytes(3).toString('hex')}`
    await createTopic(servers.namesrv, `T_${name}`, 1)
    const launch = client.launch(servers.namesrv, `T_${name}`, `G_${name}`, root)
    program = await ClientProgram.start(launch, join(root, 'client.log'), (event) => {
      if (event.event === 'check') report.check(event.name, event.ok, event.detail)
    })
    await program.command('before')
    const killed = await servers.killLeader()
    const leader = await servers.leader(killed)
    await servers.expect(['restart', killed])
    await servers.caughtUp()
    await program.command('after')
    await servers.caughtUp()
    const { brokers } = await servers.status()
    const firsts = brokers.map(({ id, firstIndex }) => `${id} ${firstIndex}`).join(', ')
    const isShort = brokers.every(({ firstIndex }) => (firstIndex ?? 0) > 1_000)
    report.check('all members forgot', isShort, `${killed} was killed, ${leader} led; first entries: ${firsts}`)
    await program.command('exit')
    isWell = true
  } catch (failure) {
    report.check('the suite runs to its end', false, failure instanceof Error ? failure.message : String(failure))
  } finally {
    program?.kill()
    await servers?.close()
    if (isWell) rmSync(root, { recursive: true, force: true })
    else report.note(`log of the client: ${root}`)
  }
}
