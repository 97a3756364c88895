/** Whole members that come, go and lose their disks, over TCP on loopback and in memory. */
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Logger, silentLogger, systemClock } from '@dledger-ts/base'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { DLedger } from './dledger.ts'
import type { DLedgerOptions } from './dledger-options.ts'
import { freePorts } from './testing/free-ports.ts'
import { untilSeen } from './testing/until.ts'
import { MemoryNetwork, MemoryTransport } from './transport/memory.ts'
import { TcpTransport } from './transport/tcp.ts'
import type { Transport } from './transport/transport.ts'

const FOUNDERS = ['n0', 'n1', 'n2']
const small = {
  fileBytes: 64 * 1024,
  indexFileBytes: 32 * 1024,
  zeroFillBytes: 0,
  tickMs: 10,
  heartbeatMs: 30,
  // Long enough for a machine that is busy with other things.
  electionTimeoutMs: 1_000,
}

/** A way for members to reach each other; `addressOf` is what the log says of a new one. */
interface Way {
  readonly name: string
  readonly begin: () => Promise<void>
  readonly transport: (id: string) => Transport
  readonly addressOf: (id: string) => string | undefined
}

let ports = new Map<string, number>()
let network = new MemoryNetwork(systemClock)

const WAYS: readonly Way[] = [
  {
    name: 'over TCP',
    begin: async () => {
      const free = await freePorts(5)
      ports = new Map(free.map((port, i) => [`n${i}`, port]))
    },
    transport: (self) =>
      new TcpTransport({
        self,
        listenHost: '127.0.0.1',
        listenPort: ports.get(self) as number,
        // Who comes later is known by the log alone.
        peers: FOUNDERS.map((id) => ({ id, host: '127.0.0.1', port: ports.get(id) as number })),
        clock: systemClock,
        logger: silentLogger,
      }),
    addressOf: (id) => `127.0.0.1:${ports.get(id)}`,
  },
  {
    name: 'in memory',
    begin: async () => {
      network = new MemoryNetwork(systemClock)
    },
    transport: (self) => new MemoryTransport({ self, network, clock: systemClock, peers: [] }),
    addressOf: () => undefined,
  },
]

describe.each(WAYS)('the membership of a live group $name', (way) => {
  let root: string
  const open = new Map<string, DLedger>()
  const lines: string[] = []
  const log = (_fields: object, line: string): void => void lines.push(line)
  const logger: Logger = { debug: log, info: log, warn: log, error: log }

  beforeEach(async () => {
    root = mkdtempSync(join(tmpdir(), 'dledger-members-'))
    lines.length = 0
    await way.begin()
  })
  afterEach(async () => {
    await Promise.all([...open.values()].map((member) => member.close()))
    open.clear()
    rmSync(root, { recursive: true, force: true })
  })

  async function start(id: string, options: Partial<DLedgerOptions> = {}): Promise<DLedger> {
    const member = await DLedger.open({
      directory: join(root, id),
      group: 'g',
      self: id,
      members: FOUNDERS,
      transport: way.transport(id),
      logger,
      ...small,
      ...options,
    })
    open.set(id, member)
    return member
  }

  async function leader(): Promise<[string, DLedger]> {
    const find = () => [...open].find(([, member]) => member.status().ready)
    await untilSeen('a leader', () => find() !== undefined)
    return find() as [string, DLedger]
  }

  async function founded(): Promise<[string, DLedger]> {
    await Promise.all(FOUNDERS.map((id) => start(id)))
    const found = await leader()
    const isBound = (): boolean => found[1].status().voters.every(({ storeId }) => storeId !== null)
    await untilSeen('all stores are bound', () => isBound() && found[1].commitIndex === found[1].lastIndex)
    return found
  }

  async function stop(id: string): Promise<void> {
    await open.get(id)?.close()
    open.delete(id)
  }

  /** Does something at whoever leads, again where the leadership was lost meanwhile. */
  async function led<Result>(what: (lead: DLedger) => Promise<Result>): Promise<Result> {
    for (;;) {
      const [, lead] = await leader()
      try {
        return await what(lead)
      } catch (error) {
        if (!['NOT_LEADER', 'TIMEOUT'].includes((error as { code: string }).code)) throw error
      }
    }
  }

  const names = (members: readonly { readonly id: string }[]): string[] => members.map(({ id }) => id).sort()
  const equalLogs = (ids: readonly string[]) => async () => {
    const [, first] = await leader()
    await untilSeen('all have all', () =>
      ids.every((id) => open.get(id)?.appliedIndex === first.lastIndex && first.commitIndex === first.lastIndex),
    )
    const bodies = async (member: DLedger): Promise<string[]> => {
      const found: string[] = []
      for await (const entry of member.entries()) found.push(entry.body.toString())
      return found
    }
    const expected = await bodies(first)
    for (const id of ids) expect(await bodies(open.get(id) as DLedger)).toEqual(expected)
    return expected
  }

  test('a member is added under load, has everything and votes; the leader is removed and the rest goes on', async () => {
    await founded()
    const load = { isOn: true, tried: 0, appended: 0 }
    const loaded = (async () => {
      while (load.isOn) {
        const [, now] = await leader()
        // Whose outcome is unknown is not asked for again.
        await now.append(Buffer.from(`load ${load.tried++}`)).then(
          () => load.appended++,
          (error: { code: string }) => expect(['NOT_LEADER', 'TIMEOUT', 'CLOSED']).toContain(error.code),
        )
      }
    })()
    await untilSeen('there is something to catch up with', () => load.appended > 100)
    const added = await start('n3', { join: true })
    const address = way.addressOf('n3')
    await led((lead) => lead.addMember({ id: 'n3', ...(address === undefined ? {} : { address }) }))
    const [first, old] = await leader()
    expect(names(old.status().voters)).toEqual(['n0', 'n1', 'n2', 'n3'])
    expect(old.status().voters.find(({ id }) => id === 'n3')?.storeId).toBe(added.status().storeId)
    await led((lead) => lead.removeMember(first))
    await untilSeen('it leads no longer', () => old.status().role !== 'LEADER')
    await untilSeen('another one does', () => [...open].some(([id, member]) => id !== first && member.status().ready))
    const before = load.appended
    await untilSeen('the load goes on', () => load.appended > before + 50)
    load.isOn = false
    await loaded
    await expect(old.append(Buffer.from('no'))).rejects.toMatchObject({ code: 'NOT_LEADER' })
    const rest = ['n0', 'n1', 'n2', 'n3'].filter((id) => id !== first)
    const [, next] = await leader()
    expect(names(next.status().voters)).toEqual(rest)
    const bodies = await equalLogs(rest)()
    expect(new Set(bodies).size).toBe(bodies.length)
    await untilSeen('the removed one says so', () => lines.some((line) => line.includes('does not name this member')))
  })

  test('a member whose disk was replaced, twice, comes back as a learner and becomes a voter again by itself', async () => {
    const [first, lead] = await founded()
    await led((now) => now.append(Array.from({ length: 300 }, (_, i) => Buffer.from(`entry ${i}`))))
    const wiped = FOUNDERS.find((id) => id !== first) as string
    for (const time of [1, 2]) {
      const before = lead.status().voters.find(({ id }) => id === wiped)?.storeId
      await stop(wiped)
      rmSync(join(root, wiped), { recursive: true })
      const back = await start(wiped)
      const isBack = (): boolean =>
        lead.status().voters.some(({ id, storeId }) => id === wiped && storeId === back.status().storeId)
      await untilSeen(`it votes again, ${time}`, isBack)
      expect(lead.status().voters.find(({ id }) => id === wiped)?.storeId).not.toBe(before)
      await led((now) => now.append(Buffer.from(`after ${time}`)))
    }
    await equalLogs(FOUNDERS)()
    expect(lines.filter((line) => line.includes('comes with another store')).length).toBeGreaterThan(0)
    expect(lead.status().learners).toEqual([])
  })

  test('a disk that shows an old image is recognised: it goes on as a new store, learner first', async () => {
    const [first, lead] = await founded()
    const id = FOUNDERS.find((each) => each !== first) as string
    const { storeId } = (open.get(id) as DLedger).status()
    await stop(id)
    cpSync(join(root, id), join(root, 'image'), { recursive: true })
    await start(id)
    await led((now) => now.append(Array.from({ length: 20 }, (_, i) => Buffer.from(`entry ${i}`))))
    await untilSeen('it is heard again', () => open.get(id)?.appliedIndex === lead.lastIndex)
    await stop(id)
    rmSync(join(root, id), { recursive: true })
    cpSync(join(root, 'image'), join(root, id), { recursive: true })
    const back = await start(id)
    await untilSeen('it took another identity', () => back.status().storeId !== storeId)
    const isVoter = (): boolean =>
      lead.status().voters.some((voter) => voter.id === id && voter.storeId === back.status().storeId)
    await untilSeen('it votes again', isVoter)
    await equalLogs(FOUNDERS)()
    expect(lines.filter((line) => line.includes('is an old image'))).toHaveLength(1)
  })

  test('a removed member that missed it is told when it connects, says so once, and serves what it has', async () => {
    const [first, lead] = await founded()
    await lead.append(Buffer.from('kept'))
    const id = FOUNDERS.find((each) => each !== first) as string
    await untilSeen('it has it', () => open.get(id)?.appliedIndex === lead.lastIndex)
    await stop(id)
    await lead.removeMember(id)
    const { term } = lead.status()
    const removed = await start(id)
    const isTold = (): boolean =>
      lines.some((line) => line.includes('does not let this member in') || line.includes('does not name this member'))
    await untilSeen('it is told', isTold)
    await lead.append(Buffer.from('without it'))
    const found: string[] = []
    for await (const entry of removed.entries()) found.push(entry.body.toString())
    // The leader goes on sending until it knows that the removed one knows.
    expect(['kept', 'without it'].slice(0, found.length)).toEqual(found)
    expect(removed.status()).toMatchObject({ role: 'FOLLOWER', ready: false })
    expect(lead.status()).toMatchObject({ role: 'LEADER', term, ready: true })
    expect(names(lead.status().voters)).toEqual(FOUNDERS.filter((each) => each !== id))
  })

  test('a member that missed who joined is caught up by the one that joined, once that leads', async () => {
    const [first] = await founded()
    const behind = FOUNDERS.find((each) => each !== first) as string
    await stop(behind)
    await start('n3', { join: true })
    const address = way.addressOf('n3')
    await led((lead) => lead.addMember({ id: 'n3', ...(address === undefined ? {} : { address }) }))
    while (open.get('n3')?.status().ready !== true) {
      await led((lead) => lead.transferLeadership('n3').catch(() => {}))
    }
    // Nobody else is left that it knows.
    for (const id of FOUNDERS) if (id !== behind && id !== first) await stop(id)
    const back = await start(behind)
    const lead = open.get('n3') as DLedger
    await untilSeen('it follows whom it did not know', () => back.status().leader === 'n3')
    await untilSeen('it has everything', () => back.appliedIndex === lead.lastIndex)
    expect(names(back.status().voters)).toEqual(['n0', 'n1', 'n2', 'n3'])
  })

  test('a learner gets everything and counts for nothing; what cannot be is refused', async () => {
    const [first, lead] = await founded()
    const learner = await start('n4', { join: true })
    const address = way.addressOf('n4')
    await lead.addMember({ id: 'n4', role: 'learner', ...(address === undefined ? {} : { address }) })
    await lead.append(Buffer.from('a'))
    await untilSeen(
      'it has it',
      () => learner.appliedIndex === lead.lastIndex && lead.status().learners[0]?.storeId !== null,
    )
    expect(names(lead.status().voters)).toEqual(FOUNDERS)
    expect(lead.status().learners).toMatchObject([{ id: 'n4', storeId: learner.status().storeId, promote: false }])
    await expect(learner.removeMember('n4')).rejects.toMatchObject({
      detail: { code: 'NOT_LEADER', leader: first },
    })
    for (const id of FOUNDERS) if (id !== first) await stop(id)
    // With the learner alone there is no majority; nothing is changed either.
    await expect(lead.append(Buffer.from('b'))).rejects.toMatchObject({
      code: expect.stringMatching(/TIMEOUT|NOT_LEADER/),
    })
    expect(learner.status().role).not.toBe('LEADER')
  })

  test('a wait that is given up leaves a change that goes on', async () => {
    const [, lead] = await founded()
    const address = way.addressOf('n3')
    const wish = { id: 'n3', ...(address === undefined ? {} : { address }) }
    const controller = new AbortController()
    const waiting = lead.addMember({ ...wish, signal: controller.signal })
    await untilSeen('it is begun', () => lead.status().learners.length === 1)
    controller.abort()
    await expect(waiting).rejects.toMatchObject({ code: 'TIMEOUT' })
    await start('n3', { join: true })
    await lead.addMember(wish)
    expect(names(lead.status().voters)).toEqual(['n0', 'n1', 'n2', 'n3'])
    await lead.addMember(wish)
    await lead.removeMember('n3')
    await lead.removeMember('n3')
    expect(names(lead.status().voters)).toEqual(FOUNDERS)
  })

  test('of two changes of one member that contradict each other the later one is done', async () => {
    const [, lead] = await founded()
    const address = way.addressOf('n3')
    // It is not there: it never catches up.
    const added = lead.addMember({ id: 'n3', ...(address === undefined ? {} : { address }) })
    const wasAdded = expect(added).rejects.toMatchObject({ code: 'TIMEOUT' })
    await untilSeen('it is begun', () => lead.status().learners.length === 1)
    await lead.removeMember('n3')
    await wasAdded
    const changes = lead.status().lastIndex
    await lead.append(Buffer.from('a'))
    await lead.removeMember('n3')
    expect(lead.status()).toMatchObject({ learners: [], lastIndex: changes + 1 })
  })

  test('a lone member is given peers', async () => {
    const lone = await start('n0', { members: ['n0'] })
    await lone.append(Buffer.from('alone'))
    for (const id of ['n1', 'n2']) {
      await start(id, { join: true, members: ['n0'] })
      await lone.addMember({ id })
    }
    await lone.append(Buffer.from('together'))
    expect(await equalLogs(FOUNDERS)()).toEqual(['alone', 'together'])
    await expect(lone.addMember({ id: '' })).rejects.toMatchObject({ code: 'INVALID' })
  })
})

test('the only voter cannot be removed, and nobody is added without a transport', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'dledger-lone-'))
  const lone = await DLedger.open({ directory, ...small })
  await expect(lone.removeMember('n0')).rejects.toMatchObject({ code: 'INVALID', message: /only voter/ })
  await expect(lone.addMember({ id: 'n1' })).rejects.toMatchObject({ code: 'INVALID', message: /without a transport/ })
  await lone.close()
  rmSync(directory, { recursive: true })
})
