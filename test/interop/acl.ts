/** A group that asks who calls, and real clients of it, before and after the death of the leader. */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FastTry } from '../processes/group/fast-try.ts'
import { ClientProgram } from './client-program.ts'
import { ACL_CLIENT, missingCommand } from './clients.ts'
import type { Report } from './report.ts'

const CONF = {
  authenticationEnabled: 'true',
  authorizationEnabled: 'true',
  // The trial messages of fast-try.sh are signed with these.
  innerClientAuthenticationCredentials: '{"accessKey":"root","secretKey":"the-password-of-root"}',
}

export async function runAcl(report: Report): Promise<void> {
  const client = ACL_CLIENT
  const missing = await missingCommand(client)
  if (missing !== undefined) return report.skipped(client.name, `${missing} is not installed`)
  report.suite(client.name)
  const root = mkdtempSync(join(tmpdir(), 'interop-acl-'))
  let servers: FastTry | null = null
  let program: ClientProgram | null = null
  let isWell = false
  try {
    await client.build()
    servers = await FastTry.create({ conf: CONF })
    await servers.start('--fresh')
    const addressOf = async (group: FastTry, id: string): Promise<string> => {
      const { brokers } = await group.status()
      return brokers.find((broker) => broker.id === id)?.addr ?? ''
    }
    const first = await servers.leader()
    const name = `acl_${randomBytes(3).toString('hex')}`
    const launch = client.launch(servers.namesrv, `T_${name}`, `G_${name}`, root)
    program = await ClientProgram.start(launch, join(root, 'client.log'), (event) => {
      if (event.event === 'check') report.check(event.name, event.ok, event.detail)
    })
    await program.command('before', await addressOf(servers, first))
    const killed = await servers.killLeader()
    const leader = await servers.leader(killed)
    await servers.expect(['restart', killed])
    await servers.caughtUp()
    report.check('failover', leader !== killed, `${killed} killed, ${leader} leads`)
    await program.command('after', await addressOf(servers, leader))
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
