/**
 * A group whose log is shorter than a backlog, and real consumers of it: those below the queue's minimum are told it and go on there,
 * those ahead see nothing of it, before and after the death of the leader.
 */
import { randomBytes } from 'node:crypto'
import { createTopic } from '../processes/group/admin.ts'
import { RETENTION_CLIENT } from './clients.ts'
import { failOver, runOwnSuite, startClient } from './own-suite.ts'
import type { Report } from './report.ts'

/** Files of 1 MiB, four of them kept; a backlog is ten. */
const CONF = { mappedFileSizeCommitLog: '1048576', maxMessageSize: '65536', retentionBytes: '4194304' }

export async function runRetention(report: Report): Promise<void> {
  await runOwnSuite(RETENTION_CLIENT, report, CONF, async (suite) => {
    const { servers } = suite
    const name = `retention_${randomBytes(3).toString('hex')}`
    await createTopic(servers.namesrv, `T_${name}`, 1)
    const program = await startClient(RETENTION_CLIENT, suite, name, report)
    await program.command('before')
    const { killed, leader } = await failOver(servers)
    await program.command('after')
    await servers.caughtUp()
    const { brokers } = await servers.status()
    const firsts = brokers.map(({ id, firstIndex }) => `${id} ${firstIndex}`).join(', ')
    const isShort = brokers.every(({ firstIndex }) => (firstIndex ?? 0) > 1_000)
    report.check('all members forgot', isShort, `${killed} was killed, ${leader} led; first entries: ${firsts}`)
    await program.command('exit')
  })
}
