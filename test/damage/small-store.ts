/**
 * A store with every kind of record and row in a few KiB: written in steps, each of which is one entry of the log from `tailFrom` on,
 * closed or killed, with everything that was visible after each step.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { hostAddress, MessageSysFlag, retryTopic, SystemTopic } from '@dledger-ts/protocol'
import {
  defaultSubscriptionGroupConfig,
  defaultTopicConfig,
  MemoryMetadata,
  MessageStore,
  type MessageStoreOptions,
  type MetadataStore,
  type NewMessage,
  type PutResult,
} from '@dledger-ts/store'
import { type DiskImage, type FileImage, ImageDisk } from './image-disk.ts'
import { START_MS, SteppingClock } from './stepping-clock.ts'
import { lookAt, type Sights, type Visible } from './visible.ts'

export const GROUP = 'g'
export const CLIENT = 'client-1'
const HOST = hostAddress('127.0.0.1', 10911)
const DAY_MS = 86_400_000
const QUEUES = [
  ['T0', 0],
  ['T0', 1],
  ['T1', 0],
  [retryTopic(GROUP), 0],
  [SystemTopic.SCHEDULE, 0],
  [SystemTopic.SCHEDULE, 2],
  [SystemTopic.WHEEL_TIMER, 0],
  [SystemTopic.TRANSACTION_HALF, 0],
  [SystemTopic.TRANSACTION_OP_HALF, 0],
  ['none', 0],
] as const

export interface TimerHandle {
  readonly topic: string
  readonly deliverMs: number
  readonly uniqKey: string
}

export interface SmallStore {
  readonly dir: string
  readonly files: DiskImage
  /** The database: rows in memory, or the files of a real one by name. */
  readonly metadata: MemoryMetadata | ReadonlyMap<string, Buffer>
  /** After each step. */
  readonly states: readonly Visible[]
  /** The first step whose entry may be torn off: nothing said yet that it is synced. */
  readonly tailFrom: number
  readonly sights: Sights
  readonly pendingTimers: readonly TimerHandle[]
  readonly endedTimers: readonly TimerHandle[]
  /** When it was left. */
  readonly nowMs: number
}

export interface BuildOptions {
  readonly dir: string
  /** Absent: a database in memory. */
  readonly usesLevel?: boolean
  /** It is killed at the end, with a tail that no checkpoint has. */
  readonly isKilled: boolean
}

export function optionsOf(
  dir: string,
  disk: ImageDisk,
  clock: SteppingClock,
  metadata: MetadataStore | null,
): MessageStoreOptions {
  return {
    dir,
    disk,
    clock,
    ...(metadata === null ? {} : { metadata }),
    fileBytes: 4096,
    consumeQueueFileBytes: 60,
    maxHashSlotNum: 7,
    maxIndexNum: 12,
    diskFreeBytesMin: 0,
    checkpointIntervalMs: 500,
    // Older records are read from the files.
    hotBytesMax: 1,
  }
}

export async function buildSmallStore({ dir, usesLevel = false, isKilled }: BuildOptions): Promise<SmallStore> {
  const clock = new SteppingClock(START_MS, usesLevel)
  let metadata: MemoryMetadata | null = usesLevel ? null : new MemoryMetadata(clock)
  let disk = new ImageDisk()
  const openNow = (): Promise<MessageStore> => clock.passing(MessageStore.open(optionsOf(dir, disk, clock, metadata)))
  let store = await openNow()
  const writer = new Writer(clock)
  await writer.writeFirst(store)
  // A second life: what the first one left is read, and the database has tables beside its log.
  await clock.passing(store.close())
  metadata = metadata?.crash(Number.POSITIVE_INFINITY) ?? null
  disk = new ImageDisk(disk.image())
  store = await openNow()
  await writer.writeSecond(store)
  await clock.pass(700)
  let tailFrom = writer.states.length
  if (isKilled) await writer.writeTail(store)
  else tailFrom = Number.POSITIVE_INFINITY
  const { sights, pendingTimers, endedTimers } = writer
  const left = { dir, sights, pendingTimers, endedTimers, tailFrom, nowMs: clock.nowMs() }
  if (isKilled) {
    // What a killed process leaves: its page cache, and a lock of nobody.
    const files = withoutOwner(disk.image())
    const kept = metadata?.crash(Number.POSITIVE_INFINITY) ?? filesOf(join(dir, 'metadata'))
    await clock.passing(store.close())
    return { ...left, files, metadata: kept, states: writer.states }
  }
  await clock.passing(store.close())
  return { ...left, files: disk.image(), metadata: metadata ?? filesOf(join(dir, 'metadata')), states: writer.states }
}

class Writer {
  readonly #clock: SteppingClock
  readonly states: Visible[] = []
  readonly sights: { -readonly [name in keyof Sights]: Sights[name] } & { places: number[] }
  readonly pendingTimers: TimerHandle[] = []
  readonly endedTimers: TimerHandle[] = []
  #halves: PutResult[] = []

  constructor(clock: SteppingClock) {
    this.#clock = clock
    this.sights = {
      queues: QUEUES,
      keys: [
        ['T0', 'k1'],
        ['T0', 'k2'],
        ['T1', 'k1'],
        ['T0', 'id-2'],
        ['T0', 'missing'],
      ],
      uniqueIds: [
        ['T0', 'id-1'],
        ['T1', 'id-none'],
      ],
      group: GROUP,
      places: [],
      tags: ['A', 'B'],
      times: [START_MS - 1, START_MS + 100, START_MS + 10 * DAY_MS],
    }
  }

  async writeFirst(store: MessageStore): Promise<void> {
    await this.#step(store, store.putTopic(defaultTopicConfig('T0', 2)))
    await this.#step(store, store.putGroup(defaultSubscriptionGroupConfig(GROUP)))
    await this.#put(store, { topic: 'T0', body: 'plain' })
    await this.#put(store, {
      topic: 'T0',
      body: 'tagged',
      properties: 'TAGS\x01A\x02KEYS\x01k1 k2\x02UNIQ_KEY\x01id-1\x02',
    })
    await this.#step(
      store,
      new Promise((stored, putFailed) => {
        const batch = ['b1', 'b2', 'b3'].map((body) =>
          message({ topic: 'T0', queueId: 1, body, properties: 'TAGS\x01B\x02' }),
        )
        store.putBatch(batch, { stored, putFailed })
      }),
    )
    await this.#put(store, { topic: 'T1', body: 'keyed', properties: 'KEYS\x01k1\x02TAGS\x01A\x02' })
    await this.#put(store, { topic: 'T0', body: 'delayed', properties: 'DELAY\x013\x02' })
    await this.#half(store, 'h0')
    await this.#half(store, 'h1')
    await this.#half(store, 'h2')
    await this.#endHalf(store, 0, 'commit')
    await this.#timer(store, 'far', 2 * DAY_MS)
    await this.#timer(store, 'called back', DAY_MS)
    await this.#recall(store, 'called back')
    await this.#put(store, {
      topic: 'T0',
      body: 'tagged again',
      properties: 'TAGS\x01B\x02KEYS\x01k2\x02UNIQ_KEY\x01id-2\x02',
    })
    for (const offset of [0, 1, 2]) await this.#pop(store, offset)
    await this.#step(store, store.pops.acknowledge(popped(1)))
    await this.#offset(store, 'T0', 0, 2)
    await this.#offset(store, 'T1', 0, 1)
    await this.#step(store, store.lockQueues(GROUP, CLIENT, [{ topic: 'T0', queueId: 0 }]))
    await this.#put(store, {
      topic: retryTopic(GROUP),
      body: 'sent back',
      properties: 'RETRY_TOPIC\x01T0\x02',
      reconsumeTimes: 1,
    })
  }

  async writeSecond(store: MessageStore): Promise<void> {
    await this.#put(store, { topic: 'T0', body: 'of the second life', properties: 'TAGS\x01A\x02KEYS\x01k1\x02' })
    await this.#step(store, store.putTopic(defaultTopicConfig('T1', 4)))
    await this.#step(store, store.countCheck([(this.#halves[1] as PutResult).physicalOffset], START_MS + 5))
    await this.#endHalf(store, 2, 'rollback')
    await this.#offset(store, 'T0', 0, 3)
    await this.#step(store, store.pops.changeInvisible(popped(0), popped(0).untilMs + DAY_MS))
    await this.#step(store, store.pops.endWith(popped(2), message({ topic: retryTopic(GROUP), body: 'popped again' })))
    await this.#timer(store, 'near', DAY_MS)
    await this.#put(store, { topic: 'T1', body: 'large '.repeat(80), properties: 'TAGS\x01B\x02' })
  }

  /** One entry in each step. */
  async writeTail(store: MessageStore): Promise<void> {
    await this.#put(store, { topic: 'T0', body: 'tail', properties: 'TAGS\x01B\x02KEYS\x01k1\x02' })
    await this.#half(store, 'h3')
    await this.#timer(store, 'tail', DAY_MS + 7_000)
    await this.#pop(store, 3)
    await this.#offset(store, 'T1', 0, 2)
    await this.#put(store, { topic: 'T0', body: 'delayed tail', properties: 'DELAY\x013\x02' })
    await this.#step(store, store.deleteTopic('T1'))
    await this.#put(store, { topic: 'T0', queueId: 1, body: '', properties: 'KEYS\x01k1 k2\x02' })
  }

  async #step<T>(store: MessageStore, asked: Promise<T>, done: (result: T) => void = () => {}): Promise<T> {
    const result = await this.#clock.passing(asked)
    done(result)
    this.states.push(await lookAt(store, this.#clock, this.sights))
    return result
  }

  async #put(store: MessageStore, input: Input): Promise<void> {
    await this.#step(store, store.store(message(input)), ({ physicalOffset }) =>
      this.sights.places.push(physicalOffset),
    )
  }

  async #half(store: MessageStore, body: string): Promise<void> {
    const properties = `TRAN_MSG\x01true\x02PGROUP\x01pg\x02UNIQ_KEY\x01${body}\x02`
    const half = message({ topic: 'T1', body, properties, sysFlag: MessageSysFlag.TRANSACTION_PREPARED })
    const stored = new Promise<PutResult>((resolve, putFailed) => store.putHalf(half, { stored: resolve, putFailed }))
    this.#halves.push(await this.#step(store, stored))
  }

  async #endHalf(store: MessageStore, which: number, outcome: 'commit' | 'rollback'): Promise<void> {
    const { physicalOffset, queueOffset } = this.#halves[which] as PutResult
    await this.#step(store, store.endTransaction({ physicalOffset, queueOffset, producerGroup: 'pg', outcome }))
  }

  async #timer(store: MessageStore, uniqKey: string, delayMs: number): Promise<void> {
    const deliverMs = START_MS + delayMs
    this.pendingTimers.push({ topic: 'T0', deliverMs, uniqKey })
    const properties = `UNIQ_KEY\x01${uniqKey}\x02TIMER_DELIVER_MS\x01${deliverMs}\x02`
    await this.#put(store, { topic: 'T0', body: `timer ${uniqKey}`, properties })
  }

  async #recall(store: MessageStore, uniqKey: string): Promise<void> {
    const at = this.pendingTimers.findIndex((timer) => timer.uniqKey === uniqKey)
    const [timer] = this.pendingTimers.splice(at, 1) as [TimerHandle]
    this.endedTimers.push(timer)
    await this.#step(store, store.recallTimer(timer))
  }

  async #pop(store: MessageStore, queueOffset: number): Promise<void> {
    const { untilMs } = popped(queueOffset)
    await this.#step(store, store.pops.pop(popped(queueOffset), untilMs, START_MS))
  }

  async #offset(store: MessageStore, topic: string, queueId: number, offset: number): Promise<void> {
    store.commitConsumerOffset(GROUP, topic, queueId, offset)
    await this.#step(store, store.flushConsumerOffsets())
  }
}

interface Input {
  readonly topic: string
  readonly body: string
  readonly queueId?: number
  readonly properties?: string
  readonly sysFlag?: number
  readonly reconsumeTimes?: number
}

export function message({
  topic,
  body,
  queueId = 0,
  properties = '',
  sysFlag = 0,
  reconsumeTimes = 0,
}: Input): NewMessage {
  return {
    topic,
    queueId,
    flag: 0,
    sysFlag,
    bornTimestamp: START_MS,
    bornHost: HOST,
    storeHost: HOST,
    reconsumeTimes,
    preparedTransactionOffset: 0,
    body: Buffer.from(body),
    properties,
  }
}

function popped(queueOffset: number): {
  group: string
  topic: string
  queueId: number
  queueOffset: number
  untilMs: number
} {
  return { group: GROUP, topic: 'T0', queueId: 0, queueOffset, untilMs: START_MS + DAY_MS + queueOffset * 1000 }
}

/** No process has this id. */
const NO_PID = 2 ** 30

function withoutOwner(files: Map<string, FileImage>): Map<string, FileImage> {
  for (const [path, { bytes }] of files) {
    if (!path.endsWith('/lock')) continue
    const lock = JSON.parse(bytes.toString()) as { pid: number }
    const changed = Buffer.from(`${JSON.stringify({ ...lock, pid: NO_PID })}\n`)
    files.set(path, { bytes: changed, size: changed.length })
  }
  return files
}

function filesOf(directory: string): ReadonlyMap<string, Buffer> {
  return new Map(
    readdirSync(directory)
      .sort()
      .map((name) => [name, readFileSync(join(directory, name))]),
  )
}
