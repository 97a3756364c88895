/** A group that asks who calls, and real clients of it, before and after the death of the leader. */
import { randomBytes } from 'node:crypto'
import type { FastTry } from '../processes/group/fast-try.ts'
import { ACL_CLIENT } from './clients.ts'
import { failOver, runOwnSuite, startClient } from './own-suite.ts'
import type { Report } from './report.ts'

const CONF = {
  authenticationEnabled: 'true',
  authorizationEnabled: 'true',
  // The trial messages of fast-try.sh are signed with these.
  innerClientAuthenticationCredentials: '{"accessKey":"root","secretKey":"the-password-of-root"}',
}

export async function runAcl(report: Report): Promise<void> {
  await runOwnSuite(ACL_CLIENT, report, CONF, async (suite) => {
    const { servers } = suite
    const first = await servers.leader()
    const program = await startClient(ACL_CLIENT, suite, `acl_${randomBytes(3).toString('hex')}`, report)
    await program.command('before', await addressOf(servers, first))
    const { killed, leader } = await failOver(servers)
    report.check('failover', leader !== killed, `${killed} killed, ${leader} leads`)
    await program.command('after', await addressOf(servers, leader))
    await program.command('exit')
  })
}

async function addressOf(servers: FastTry, id: string): Promise<string> {
  const { brokers } = await servers.status()
  return brokers.find((broker) => broker.id === id)?.addr ?? ''
}
