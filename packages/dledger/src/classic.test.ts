/** A master and slaves that copy it: whole members over connections, on real files; masters made by hand, and what becomes of former ones. */
import { randomBytes } from 'node:crypto'
import { rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { silentLogger, systemClock } from '@dledger-ts/base'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { nodeDisk } from './disk/node-disk.ts'
import type { DLedger } from './dledger.ts'
import type { DLedgerOptions } from './dledger-options.ts'
import { HardStateFile } from './hard-state/hard-state-file.ts'
import { freePorts } from './testing/free-ports.ts'
import { bodiesOf } from './testing/loopback-group.ts'
import { OpenedMembers } from './testing/opened-members.ts'
import { untilSeen } from './testing/until.ts'
import { TcpTransport } from './transport/tcp.ts'

const small = {
  fileBytes: 64 * 1024,
  indexFileBytes: 32 * 1024,
  zeroFillBytes: 0,
  tickMs: 10,
  heartbeatMs: 20,
  electionTimeoutMs: 250,
} as const

let opened: OpenedMembers
let ports: number[]

beforeEach(async () => {
  opened = new OpenedMembers(small)
  ports = await freePorts(3)
})
afterEach(() => opened.close())

const IDS = ['n0', 's1', 's2']
const addressOf = (self: string): string => `127.0.0.1:${ports[IDS.indexOf(self)]}`

async function start(
  self: string,
  classic: 'master' | 'slave',
  options: Partial<DLedgerOptions> = {},
): Promise<DLedger> {
  const listen = { listenHost: '127.0.0.1', listenPort: ports[IDS.indexOf(self)] as number }
  const member = await opened.start(self, {
    self,
    classic,
    transport: new TcpTransport({ self, ...listen, peers: [], clock: systemClock, logger: silentLogger }),
    ...options,
  })
  if (classic === 'master') await member.addMember({ id: self, address: addressOf(self) })
  return member
}

async function follow(slave: DLedger, master: DLedger): Promise<void> {
  const { self, storeId } = master.status()
  const { self: id } = slave.status()
  await master.addMember({ id, address: addressOf(id), role: 'learner' })
  slave.follow({ id: self, storeId, address: addressOf(self) })
}

/** All that the master has is there, also the entry that binds the last slave that was let in. */
const level = (slave: DLedger, master: DLedger) =>
  untilSeen('the slave has all', () => {
    const isBound = master.status().learners.every(({ storeId }) => storeId !== null)
    return isBound && slave.appliedIndex === master.lastIndex && slave.lastIndex === master.lastIndex
  })

const texts = (from: number, count: number): string[] => Array.from({ length: count }, (_, i) => `message ${from + i}`)
const append = (member: DLedger, from: number, count: number) =>
  member.append(texts(from, count).map((text) => Buffer.from(text)))

test('a slave has what its master has, says so, and never leads', async () => {
  let answers = 0
  const master = await start('n0', 'master', { onAcknowledged: () => answers++ })
  await append(master, 0, 50)
  const slave = await start('s1', 'slave')
  await follow(slave, master)
  await append(master, 50, 50)
  await level(slave, master)
  expect(await bodiesOf(slave)).toEqual(texts(0, 100))
  await untilSeen('the master knows', () => master.heldBy(1) === master.lastIndex)
  expect([master.heldBy(2), answers > 0]).toEqual([-1, true])

  await opened.stop(master)
  await untilSeen('nobody leads', () => slave.status().leader === null)
  await new Promise((resolve) => setTimeout(resolve, 4 * small.electionTimeoutMs))
  expect(slave.status()).toMatchObject({ role: 'FOLLOWER', leader: null, ready: false })
  expect(await bodiesOf(slave)).toEqual(texts(0, 100))
})

test('a master goes on without its slave, which catches up', async () => {
  const master = await start('n0', 'master')
  const slave = await start('s1', 'slave')
  await follow(slave, master)
  await level(slave, master)
  await opened.stop(slave)
  await append(master, 0, 200)
  const again = await start('s1', 'slave')
  await follow(again, master)
  await level(again, master)
})

test('a slave hears a master that was started anew only when it is told to: that may have lost what it has', async () => {
  const master = await start('n0', 'master')
  const slave = await start('s1', 'slave')
  await follow(slave, master)
  await level(slave, master)
  await opened.stop(master)
  const again = await start('n0', 'master')
  await append(again, 0, 10)
  await new Promise((resolve) => setTimeout(resolve, 1_000))
  expect(slave.lastIndex).toBeLessThan(again.lastIndex)
  await follow(slave, again)
  await level(slave, again)
})

test('a slave whose name has no room beside all others is refused, and the master goes on', async () => {
  const master = await start('n0', 'master')
  const named: string[] = []
  for (let number = 1; ; number++) {
    const id = `s${number}`
    const address = `${randomBytes(150).toString('hex')}:1`
    const refused = await master.addMember({ id, address, role: 'learner' }).then(
      () => null,
      (error: unknown) => error,
    )
    if (refused === null) {
      named.push(id)
      continue
    }
    expect(refused).toMatchObject({ code: 'INVALID', message: expect.stringMatching(/too long together/) })
    break
  }
  expect(named.length).toBeGreaterThan(2)
  await append(master, 0, 10)
  await master.removeMember('s1')
  await opened.stop(master)
  const again = await start('n0', 'master')
  expect(again.status().learners.map(({ id }) => id)).toEqual(named.slice(1))
})

/** n0 with 100 entries, all of them at the slave s1; both are stopped. */
async function pairOfCopies(): Promise<{ lastIndex: number }> {
  const master = await start('n0', 'master')
  const slave = await start('s1', 'slave')
  await follow(slave, master)
  await append(master, 0, 100)
  await level(slave, master)
  const { lastIndex } = master
  await opened.stop(master)
  await opened.stop(slave)
  return { lastIndex }
}

test('a store that has led is another one as a slave, once', async () => {
  const master = await start('n0', 'master')
  const { storeId } = master.status()
  await opened.stop(master)
  const slave = await start('n0', 'slave')
  const asSlave = slave.status().storeId
  expect(asSlave).not.toBe(storeId)
  expect(slave.status().role).toBe('FOLLOWER')
  await opened.stop(slave)
  expect((await start('n0', 'slave')).status().storeId).toBe(asSlave)
})

describe('a slave that is opened as a master', () => {
  test('has all that it had, takes more, and names the former one', async () => {
    const { lastIndex } = await pairOfCopies()
    const promoted = await start('s1', 'master')
    expect(await bodiesOf(promoted)).toEqual(texts(0, 100))
    await append(promoted, 100, 10)
    const { voters, learners, formers } = promoted.status()
    expect(voters.map(({ id }) => id)).toEqual(['s1'])
    expect([learners, formers]).toEqual([[], [{ storeId: expect.any(String), lastIndex }]])
    // However often the former master was started meanwhile, name servers and members take this one for the newer.
    expect(promoted.status().term).toBeGreaterThan(1_000)
    await opened.stop(promoted)
    const again = await start('s1', 'master')
    expect(again.status().formers).toEqual(formers)
    expect(await bodiesOf(again)).toEqual(texts(0, 110))
  })

  test('ends a former master that comes back, and lets it lead no more', async () => {
    await pairOfCopies()
    const promoted = await start('s1', 'master')
    await append(promoted, 100, 10)
    const ended: Error[] = []
    // It may open before it hears of it, but not for long.
    const former = await start('n0', 'master', { onFatal: (error) => ended.push(error) }).catch(() => null)
    await untilSeen('the former master stops', () => ended.length > 0)
    expect(ended).toMatchObject([{ code: 'OUTDATED' }])
    if (former !== null) await expect(append(former, 0, 1)).rejects.toThrow()
    for (const member of opened.members) await opened.stop(member)
    await expect(start('n0', 'master')).rejects.toMatchObject({ code: 'OUTDATED' })
  })

  test('is followed by the former master, which keeps what both have', async () => {
    const { lastIndex } = await pairOfCopies()
    const promoted = await start('s1', 'master')
    await append(promoted, 100, 10)
    const former = await start('n0', 'slave')
    expect(former.lastIndex).toBe(lastIndex)
    expect(former.status().role).toBe('FOLLOWER')
    await follow(former, promoted)
    await level(former, promoted)
    expect(await bodiesOf(former)).toEqual(texts(0, 110))
    await opened.stop(former)
    // And back again.
    await opened.stop(promoted)
    const back = await start('n0', 'master')
    expect(back.status().formers).toHaveLength(2)
    expect(await bodiesOf(back)).toEqual(texts(0, 110))
  })

  test('is followed by another slave, which hears the former master no more', async () => {
    const master = await start('n0', 'master')
    const [first, second] = [await start('s1', 'slave'), await start('s2', 'slave')]
    await follow(first, master)
    await follow(second, master)
    await append(master, 0, 50)
    await level(second, master)
    await level(first, master)
    await opened.stop(first)
    let ended: Error | null = null
    master.on('failed', (error) => (ended = error))
    const promoted = await start('s1', 'master')
    await untilSeen('the former master stops', () => ended !== null)
    await follow(second, promoted)
    await append(promoted, 50, 10)
    await level(second, promoted)
    expect(await bodiesOf(second)).toEqual(texts(0, 60))
  })

  test('is none where somebody is elected, or where it has nothing yet', async () => {
    const group = new Map<string, DLedger>()
    const ids = ['n0', 's1', 's2']
    for (const [i, self] of ids.entries()) {
      const peers = ids.map((id, at) => ({ id, host: '127.0.0.1', port: ports[at] as number }))
      const listen = { listenHost: '127.0.0.1', listenPort: ports[i] as number }
      const transport = new TcpTransport({ self, ...listen, peers, clock: systemClock, logger: silentLogger })
      const member = await opened.start(self, { self, members: ids, transport })
      group.set(self, member)
    }
    await untilSeen('a leader', () => [...group.values()].some((member) => member.status().ready))
    await untilSeen('all know', () => [...group.values()].every((member) => member.lastIndex >= 1))
    for (const member of group.values()) await opened.stop(member)
    await expect(start('s1', 'master')).rejects.toThrow(/voters n0, s1, s2/)
    rmSync(join(opened.root, 's1'), { recursive: true })
    await opened.stop(await start('s1', 'slave'))
    await expect(start('s1', 'master')).rejects.toThrow(/nothing to be master of/)
  })

  /** A crash came after the term of the new master was durable, and before its entry was. */
  function interrupt(self: string): void {
    const file = HardStateFile.openSync(nodeDisk, join(opened.root, self, 'hard-state')) as HardStateFile
    file.writeSync({ ...file.state, term: file.state.term + 1_024, storeId: 'new', mustBeNamed: false, namedAs: null })
    file.closeSync()
  }

  test('after a crash in the middle of it is made one at the next start', async () => {
    await pairOfCopies()
    interrupt('s1')
    const promoted = await start('s1', 'master')
    expect(promoted.status().formers).toHaveLength(1)
    await append(promoted, 100, 1)
    expect(await bodiesOf(promoted)).toEqual(texts(0, 101))
  })

  test('whose start fails after that can be started again', async () => {
    await pairOfCopies()
    const taken = createServer()
    await new Promise<void>((resolve) => taken.listen(ports[1], '127.0.0.1', resolve))
    await expect(start('s1', 'master')).rejects.toThrow(/cannot listen on/)
    await new Promise((resolve) => taken.close(resolve))
    const promoted = await start('s1', 'master')
    expect(promoted.status().formers).toHaveLength(1)
    expect(await bodiesOf(promoted)).toEqual(texts(0, 100))
  })

  test('after a crash in the middle of it is a slave again where that is wanted', async () => {
    await pairOfCopies()
    interrupt('s1')
    const slave = await start('s1', 'slave')
    const master = await start('n0', 'master')
    await follow(slave, master)
    await append(master, 100, 10)
    await level(slave, master)
    expect(await bodiesOf(slave)).toEqual(texts(0, 110))
    expect(master.status().formers).toEqual([])
  })
})
