/** A member with a shared secret that holds nothing yet, and peers that refuse it without proof: older ones do so. */
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { silentLogger, systemClock } from '@dledger-ts/base'
import { afterEach, expect, test } from 'vitest'
import { DLedger } from './dledger.ts'
import { SMALL } from './testing/loopback-group.ts'
import { untilSeen } from './testing/until.ts'
import { encodeControl } from './transport/control-part.ts'
import { encodeGreeting } from './transport/frame-codec.ts'
import { answerValues } from './transport/greeting.ts'
import { TcpTransport } from './transport/tcp.ts'
import { type RefusalKind, REFUSAL_KINDS } from './transport/transport.ts'

const cleanups: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** @returns the port at which whoever comes is refused in the clear, and how often that was. */
async function refusing(kind: RefusalKind): Promise<{ port: number; count: () => number }> {
  let count = 0
  const refuse = (socket: Socket): void => {
    socket.on('error', () => {})
    count++
    const refusal = { kind, why: 'not a peer of n0', member: 'n3', configurationIndex: 7 }
    socket.end(encodeGreeting(encodeControl(answerValues({ welcome: false, ...refusal }))))
  }
  const server = createServer(refuse)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanups.push(() => void server.close())
  return { port: (server.address() as { port: number }).port, count: () => count }
}

test.each(REFUSAL_KINDS.filter((kind) => kind !== 'MISFIT'))('it waits until it is let in: %s', async (kind) => {
  const { port, count } = await refusing(kind)
  const root = mkdtempSync(join(tmpdir(), 'dledger-unproven-'))
  cleanups.push(() => rmSync(root, { recursive: true, force: true }))
  const peers = [{ id: 'n0', host: '127.0.0.1', port }]
  const limits = { reconnectMinMs: 1, reconnectMaxMs: 20 }
  const common = { self: 'n3', clock: systemClock, logger: silentLogger, secret: 'known to the members', limits }
  const transport = new TcpTransport({ ...common, listenHost: '127.0.0.1', listenPort: 0, peers })
  const ended: Error[] = []
  const options = { self: 'n3', members: ['n0'], join: true, directory: join(root, 'n3'), transport }
  const member = await DLedger.open({ ...SMALL, ...options, onFatal: (error) => void ended.push(error) })
  cleanups.push(() => member.close())
  const { storeId } = member.status()
  await untilSeen('it was refused', () => ended.length > 0 || count() >= 6)
  expect(ended).toEqual([])
  expect(member.status().storeId).toBe(storeId)
})
