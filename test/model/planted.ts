/**
 * Faults that are planted to show that the model finds them, each alone: in what a broker asks of its store, in what is kept of the
 * state, or in the disk below. They are planted from outside, where the parts of production code meet; none is in production code.
 */
import type {
  MessageStore,
  MessageStoreOptions,
  MetadataStore,
  MetadataWrite,
  NewMessage,
  PutListener,
  PutResult,
} from '@dledger-ts/store'
import type { PlantedDiskFault } from '../simulation/planted.ts'
import { staleCheckpoints } from './stale-checkpoints.ts'

export interface Planted {
  /** Changes the store of a member that has just come up. */
  readonly inStore?: (store: MessageStore) => void
  /** Which writes to the rows of the state never happen; a value of null takes its row away. */
  readonly dropsRow?: (write: MetadataWrite) => boolean
  /** The kept rows are newer than the checkpoint says that is kept with them, and nothing tells. */
  readonly isCheckpointBehind?: boolean
  readonly inDisk?: PlantedDiskFault
  /** Another configuration than the model believes. */
  readonly storeOptions?: Partial<MessageStoreOptions>
}

const NOBODY: PutListener = { stored: () => {}, putFailed: () => {} }

export const PLANTED: Readonly<Record<string, Planted>> = {
  'acknowledged before it is committed': { inStore: acknowledgeEarly },
  'every message stored twice': {
    inStore: (store) => {
      const put = store.put.bind(store)
      store.put = (message, listener) => {
        put(message, listener)
        put(message, NOBODY)
      }
    },
  },
  'a send that timed out is refused': {
    inStore: (store) => {
      const put = store.put.bind(store)
      store.put = (message, listener) =>
        put(message, {
          stored: (result) => listener.stored(result),
          putFailed: (error) =>
            listener.putFailed(error.code === 'TIMEOUT' ? Object.assign(error, { detail: { code: 'BUSY' } }) : error),
        })
    },
  },
  'what finds no room on the disk is answered as stored': {
    inStore: (store) => {
      const put = store.put.bind(store)
      store.put = (message, listener) =>
        put(message, {
          stored: (result) => listener.stored(result),
          putFailed: (error) => {
            if (error.code !== 'DISK_FULL') return listener.putFailed(error)
            const { topic, queueId } = message
            listener.stored(resultAt(topic, queueId, store.maxOffset(topic, queueId)))
          },
        })
    },
  },
  'half messages are visible': {
    inStore: (store) => {
      const putHalf = store.putHalf.bind(store)
      store.putHalf = (message, listener) => {
        putHalf(message, listener)
        store.put(bare(message), NOBODY)
      }
    },
  },
  'a rollback commits': {
    inStore: (store) => {
      const end = store.endTransaction.bind(store)
      store.endTransaction = (request) => end({ ...request, outcome: 'commit' })
    },
  },
  'half messages are not looked for': {
    inStore: (store) => {
      store.halfMessages = () => Promise.resolve({ rows: [], next: null })
    },
  },
  'questions for half messages are not counted': {
    inStore: (store) => {
      store.countCheck = () => Promise.resolve()
    },
  },
  'a commit is answered and not done': {
    inStore: (store) => {
      const end = store.endTransaction.bind(store)
      store.endTransaction = (request) => (request.outcome === 'commit' ? Promise.resolve(null) : end(request))
    },
  },
  'offsets are kept by the leader alone': { inStore: keepOffsetsInMemory },
  'acknowledgements of popped messages are lost': {
    inStore: (store) => {
      store.pops.acknowledge = () => Promise.resolve(true)
    },
  },
  'popped messages are not kept': {
    dropsRow: ({ key, value }) => (isOf('pop', key) || isOf('pop-time', key)) && value !== null,
  },
  'a popped message is visible at once': {
    inStore: (store) => {
      const pop = store.pops.popQueues.bind(store.pops)
      store.pops.popQueues = (request) => pop({ ...request, untilMs: request.poppedMs + 1 })
    },
  },
  'acknowledgements of what was popped in order are lost': {
    inStore: (store) => {
      store.orderedPops.acknowledge = () => Promise.resolve(true)
    },
  },
  'what is popped in order counts as acknowledged': {
    inStore: (store) => {
      const { orderedPops } = store
      const pop = orderedPops.pop.bind(orderedPops)
      orderedPops.pop = async (queue, asked) => {
        const earlier = await pop(queue, asked)
        if (earlier !== null) await orderedPops.acknowledge(queue, [...earlier.keys()], asked.poppedMs)
        return earlier
      }
    },
  },
  'a queue lock is given to everybody': {
    inStore: (store) => {
      const lock = store.lockQueues.bind(store)
      store.lockQueues = async (group, client, queues) => {
        await lock(group, client, queues)
        return queues
      }
    },
  },
  'timers are never taken out of the state': { dropsRow: ({ key, value }) => isOf('timer', key) && value === null },
  'timers are not kept': { dropsRow: ({ key, value }) => isOf('timer', key) && value !== null },
  'half messages are not kept': { dropsRow: ({ key, value }) => isOf('half', key) && value !== null },
  'a repeated send is stored again': {
    inStore: (store) => {
      const put = store.put.bind(store)
      let sends = 0
      store.put = (message, listener) => put(withOtherId(message, sends++), listener)
    },
  },
  'a repeated send is known for a moment only': { storeOptions: { duplicateSendWindowMs: 20 } },
  'a filter lets everything pass': {
    inStore: (store) => {
      const get = store.getMessages.bind(store)
      store.getMessages = (request, callback) => get({ ...request, tagFilter: null, recordFilter: null }, callback)
    },
  },
  'a filter passes over what it wants': {
    inStore: (store) => {
      const get = store.getMessages.bind(store)
      store.getMessages = (request, callback) => {
        const { recordFilter } = request
        if (recordFilter === undefined || recordFilter === null) return get(request, callback)
        return get({ ...request, recordFilter: (record) => record.length % 5 > 0 && recordFilter(record) }, callback)
      }
    },
  },
  'the minimum does not follow': { inStore: (store) => changeReads(store, (result) => ({ ...result, minOffset: 0 })) },
  'a reader is sent on too far': {
    inStore: (store) =>
      changeReads(store, (result) =>
        result.records.length < 2
          ? result
          : { ...result, records: result.records.slice(1), recordBytes: result.recordBytes },
      ),
  },
  'a deleted topic keeps its messages': {
    inStore: (store) => {
      store.deleteTopic = () => Promise.resolve()
    },
  },
  'entries are applied twice after a restart': { isCheckpointBehind: true },
  'nothing is synced': { inDisk: 'file-sync-omitted' },
  'no name of a file is synced': { inDisk: 'directory-sync-omitted' },
}

/** The metadata store of one life of a member, with the fault that is planted in it. */
export function faultyMetadata(store: MetadataStore, { dropsRow, isCheckpointBehind }: Planted): MetadataStore {
  if (dropsRow !== undefined) return dropping(store, dropsRow)
  return isCheckpointBehind === true ? staleCheckpoints(store) : store
}

/** What the metadata store is not told. */
function dropping(store: MetadataStore, drops: (write: MetadataWrite) => boolean): MetadataStore {
  return {
    load: (callback) => store.load(callback),
    range: (range, callback) => store.range(range, callback),
    view: () => store.view(),
    write: (writes, options, callback) =>
      store.write(
        writes.filter((write) => !drops(write)),
        options,
        callback,
      ),
    clear: (first, callback) => store.clear(first, callback),
    close: (callback) => store.close(callback),
  }
}

function isOf(table: string, key: string): boolean {
  return key.startsWith(`~${table}\0`)
}

/** The place is guessed, mostly rightly. */
function acknowledgeEarly(store: MessageStore): void {
  const put = store.put.bind(store)
  const ends = new Map<string, number>()
  store.put = (message, listener) => {
    const { topic, queueId } = message
    const name = `${topic} ${queueId}`
    const queueOffset = Math.max(store.maxOffset(topic, queueId), ends.get(name) ?? 0)
    ends.set(name, queueOffset + 1)
    listener.stored(resultAt(topic, queueId, queueOffset))
    put(message, NOBODY)
  }
}

function resultAt(topic: string, queueId: number, queueOffset: number): PutResult {
  return {
    topic,
    queueId,
    wantedQueueId: queueId,
    timerOutMs: null,
    physicalOffset: 0,
    queueOffset,
    storeTimestamp: 0,
    recordBytes: 0,
  }
}

function keepOffsetsInMemory(store: MessageStore): void {
  const offsets = new Map<string, number>()
  store.commitConsumerOffset = (group, topic, queueId, offset) => {
    offsets.set(`${group} ${topic} ${queueId}`, offset)
  }
  store.consumerOffset = (group, topic, queueId) => offsets.get(`${group} ${topic} ${queueId}`)
}

type Read = NonNullable<Parameters<Parameters<MessageStore['getMessages']>[1]>[1]>

function changeReads(store: MessageStore, change: (result: Read) => Read): void {
  const get = store.getMessages.bind(store)
  store.getMessages = (request, callback) =>
    get(request, (error, result) => callback(error, result === null ? null : change(result)))
}

/** It is not recognised. */
function withOtherId(message: NewMessage, number: number): NewMessage {
  return { ...message, properties: message.properties.replace('UNIQ_KEY\x01', `UNIQ_KEY\x01${number}.`) }
}

/** As an ordinary message. */
function bare(message: NewMessage): NewMessage {
  return { ...message, properties: '' }
}
