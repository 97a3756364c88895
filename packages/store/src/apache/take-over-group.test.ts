/** Two of three members of a group of Apache's, each with its own files, one with the head of its log deleted: one state. */
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { MessageStore } from '../message-store.ts'
import { message } from '../testing/fixture.ts'
import { until } from '../testing/manual-clock.ts'
import { OpenedGroup } from '../testing/opened-group.ts'

let group: OpenedGroup
beforeEach(() => {
  group = new OpenedGroup({
    group: 'RaftNode00',
    fileBytes: 65_536,
    consumeQueueFileBytes: 2_000,
    flushDiskType: 'ASYNC_FLUSH',
  })
})
afterEach(() => group.close())

const storeOf = (self: string): string => path.join(group.directory(self), 'store')

function unpack(self: string): void {
  const archive = new URL(`../../../../test/vectors/dledger-store/${self}.tar.gz`, import.meta.url).pathname
  fs.mkdirSync(group.directory(self))
  execFileSync('tar', ['-xzf', archive, '-C', group.directory(self)])
}

function start(self: string): Promise<MessageStore> {
  return group.start(self, { dir: storeOf(self) })
}

/** Those that Apache's broker had, by topic and id. */
function queuesOfApache(): string[] {
  return fs
    .readdirSync(path.join(storeOf('n0'), 'consumequeue'), { recursive: true, encoding: 'utf8' })
    .filter((name) => /\/\d+$/.test(name) && !/\d{20}$/.test(name))
    .sort()
}

/** Everything but where queues begin, which depends on what each member still has. */
function stateOf(store: MessageStore, queues: readonly string[]): unknown {
  return {
    queues: queues.map((name) => [name, store.maxOffset(path.dirname(name), Number(path.basename(name)))]),
    topics: [...store.topics().keys()].sort(),
    groups: [...store.groups().keys()].sort(),
    offsets: store.consumerOffsets('GoldCG'),
    version: store.dataVersion(),
  }
}

test('members that take over one group have one state, wherever their logs begin, and go on under either', async () => {
  for (const self of ['n0', 'n1']) unpack(self)
  const queues = queuesOfApache()
  const data = path.join(storeOf('n1'), 'dledger-n1/data')
  for (const name of fs.readdirSync(data).sort().slice(0, 3)) fs.rmSync(path.join(data, name))
  const [whole, trimmed] = (await Promise.all(['n0', 'n1'].map(start))) as [MessageStore, MessageStore]
  for (const queueId of [0, 1]) {
    const leading = await group.leader()
    const before = leading.maxOffset('%DLQ%GoldCG', 0)
    expect(await leading.store(message('%DLQ%GoldCG', 'dead'))).toMatchObject({ queueOffset: before })
    await leading.store(message('GoldFill', 'new', { queueId }))
    const { lastIndex } = leading.status()
    await until(() => group.stores.every((store) => store.status().appliedIndex >= lastIndex), 'all have applied all')
    expect(stateOf(trimmed, queues)).toEqual(stateOf(whole, queues))
    expect(await leading.transferLeadership()).toBe(true)
    await until(() => !leading.isReady(), 'the leadership is handed over')
  }
  expect(whole.status().firstIndex).toBe(0)
  expect(trimmed.status().firstIndex).toBeGreaterThan(60)
  expect(whole.maxOffset('%DLQ%GoldCG', 0)).toBe(3)
  expect(whole.consumerOffset('GoldCG', '%RETRY%GoldCG', 0)).toBe(2)
})
