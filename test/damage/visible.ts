/**
 * Everything that a store shows without being changed: by name, as text, an error as `!code …` where it says so.
 */
import { tagsCode } from '@dledger-ts/protocol'
import { type MessageStore, StoreError } from '@dledger-ts/store'
import type { SteppingClock } from './stepping-clock.ts'

/** What is looked at. */
export interface Sights {
  readonly queues: readonly (readonly [topic: string, queueId: number])[]
  readonly keys: readonly (readonly [topic: string, key: string])[]
  readonly uniqueIds: readonly (readonly [topic: string, uniqueId: string])[]
  readonly group: string
  /** Where records start. */
  readonly places: readonly number[]
  readonly tags: readonly string[]
  readonly times: readonly number[]
}

export type Visible = ReadonlyMap<string, string>

/** Times that a reader asks again who is told that a queue, or the index, is being built. */
const TRIES_MAX = 8
const MANY = 1_000

export async function lookAt(store: MessageStore, clock: SteppingClock, sights: Sights): Promise<Visible> {
  const seen = new Map<string, string>()
  const see = async (name: string, look: () => unknown): Promise<void> => {
    seen.set(name, await told(clock, look))
  }
  await see('topics', () => [...store.topics()].sort())
  await see('groups', () => [...store.groups()].sort())
  const { counter, timestamp } = store.dataVersion()
  await see('topics version', () => [counter, timestamp])
  await see('groups version', () => [store.groupDataVersion().counter, store.groupDataVersion().timestamp])
  for (const [topic, byQueue] of store.consumerOffsets(sights.group)) {
    await see(`offsets ${topic}`, () => [...byQueue].sort())
  }
  for (const [topic, queueId] of sights.queues) await lookAtQueue(store, { topic, queueId }, see, sights)
  for (const physicalOffset of sights.places) await see(`at ${physicalOffset}`, () => store.messageAt(physicalOffset))
  for (const [topic, key] of sights.keys) {
    await see(`key ${topic} ${key}`, async () => {
      const { records, isComplete } = await store.query({ topic, key, maxCount: 20 })
      if (!isComplete) throw new StoreError('the index is being built', { code: 'BUSY' })
      return records.map((record) => record.toString('hex'))
    })
  }
  for (const [topic, uniqueId] of sights.uniqueIds) {
    await see(`id ${topic} ${uniqueId}`, () => store.messageByUniqueId(topic, uniqueId))
  }
  await see('half messages', () =>
    store.halfMessages({ from: 0, storedBeforeMs: Number.MAX_SAFE_INTEGER, limit: MANY }),
  )
  await see('pops in time', () => store.pops.due(Number.MAX_SAFE_INTEGER - 1, '', MANY))
  await see('pops in order', () => store.pops.inFlight({ group: sights.group, topic: 'T0', queueId: 0 }, 0, MANY))
  return seen
}

async function lookAtQueue(
  store: MessageStore,
  queue: { readonly topic: string; readonly queueId: number },
  see: (name: string, look: () => unknown) => Promise<void>,
  { tags, times }: Sights,
): Promise<void> {
  const { topic, queueId } = queue
  const name = `${topic}/${queueId}`
  const min = store.minOffset(topic, queueId)
  const max = store.maxOffset(topic, queueId)
  await see(`${name} range`, () => [min, max])
  // From the end, so that a reader's reading ahead hides nothing.
  for (let offset = max; offset >= min; offset--) {
    await see(`${name} ${offset}`, async () => {
      const { status, nextBeginOffset, records } = await store.get({ ...queue, queueOffset: offset, maxCount: 1 })
      return [status, nextBeginOffset, ...records.map((record) => record.toString('hex'))]
    })
    if (offset < max) await see(`${name} ${offset} stored`, () => store.storeTimeAt(topic, queueId, offset))
  }
  await see(`${name} first stored`, () => store.earliestStoreTime(topic, queueId))
  for (const tag of tags) {
    await see(`${name} tag ${tag}`, async () => {
      const found: string[] = []
      const tagFilter = new Set([tagsCode(tag)])
      for (let queueOffset = min; queueOffset < max;) {
        const { status, nextBeginOffset, records } = await store.get({ ...queue, queueOffset, tagFilter })
        if (nextBeginOffset <= queueOffset) return [status, queueOffset]
        found.push(...records.map((record) => record.toString('hex')))
        queueOffset = nextBeginOffset
      }
      return found
    })
  }
  for (const time of times) {
    await see(`${name} from ${time}`, () => store.offsetByTimestamp(topic, queueId, time, 'LOWER'))
    await see(`${name} to ${time}`, () => store.offsetByTimestamp(topic, queueId, time, 'UPPER'))
  }
}

async function told(clock: SteppingClock, look: () => unknown): Promise<string> {
  let failure: StoreError | null = null
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    try {
      return textOf(await clock.passing(Promise.resolve(look())))
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      failure = error
      if (error.code !== 'BUSY') break
      await clock.pass(500)
    }
  }
  return `!${failure?.code} ${failure?.message}`
}

function textOf(value: unknown): string {
  return Buffer.isBuffer(value) ? value.toString('hex') : (JSON.stringify(value) ?? 'nothing')
}
