/**
 * The half messages that Apache's broker had neither committed nor rolled back: read from its half and op queues when its log is taken over.
 *
 * Its check loop says in the offsets of CID_RMQ_SYS_TRANS behind which half message, and which op record, anything may be open. Each record of the op
 * topic names the queue offsets of half messages that are ended. One that was asked for was put again, with a higher count; after a crash in between both
 * look open: the newer one counts.
 *
 * Source: TransactionalMessageServiceImpl.check, fillOpRemoveMap, checkPrepareQueueOffset.
 */
import {
  PropertyName,
  recordBody,
  recordPhysicalOffset,
  recordProperty,
  recordQueueOffset,
  SystemGroup,
  SystemTopic,
} from '@dledger-ts/protocol'
import type { StoreMachine } from '../apply.ts'
import type { StoreError } from '../errors.ts'
import type { ConsumerOffsetRow } from '../metadata/change.ts'
import type { HalfMessageRow } from '../metadata/half-messages.ts'
import type { MessageReader } from '../read.ts'
import { halfMessageRowOf } from '../transaction/half-message.ts'

const READ_COUNT = 512
const READ_BYTES = 1024 * 1024
/** All go into one entry, the last of the take-over, so that none is taken over twice. What is beyond can be read, and nobody is asked for it. */
const ROWS_MAX = 5_000

export interface OpenHalfMessages {
  readonly rows: readonly HalfMessageRow[]
  /** Without a producer group or a destination, or more than are taken over. */
  readonly left: number
}

export interface OpenHalfMessagesOptions {
  readonly machine: StoreMachine
  readonly reader: MessageReader
  readonly offsets: readonly ConsumerOffsetRow[]
}

export async function openHalfMessages({
  machine,
  reader,
  offsets,
}: OpenHalfMessagesOptions): Promise<OpenHalfMessages> {
  const { TRANSACTION_HALF: half, TRANSACTION_OP_HALF: op } = SystemTopic
  const ended = new Set<number>()
  await eachRecord(machine, reader, op, offsetOf(offsets, op), (record) => {
    for (const text of recordBody(record).toString('latin1').split(',')) {
      if (/^\d+$/.test(text)) ended.add(Number(text))
    }
  })
  const open = new Map<string, HalfMessageRow>()
  let left = 0
  await eachRecord(machine, reader, half, offsetOf(offsets, half), (record) => {
    if (ended.has(recordQueueOffset(record)) || ended.has(firstOffsetOf(record))) return
    const row = halfMessageRowOf(record, recordPhysicalOffset(record))
    const name = recordProperty(record, PropertyName.UNIQ_KEY) ?? String(recordPhysicalOffset(record))
    if (row === undefined || (open.size >= ROWS_MAX && !open.has(name))) left++
    else open.set(name, { ...row, checkCount: countOf(recordProperty(record, PropertyName.TRANSACTION_CHECK_TIMES)) })
  })
  const rows = [...open.values()].sort((a, b) => a.physicalOffset - b.physicalOffset)
  return { rows, left }
}

/** Of one that was put again the place in the queue that it had first, where that is known; else -1. */
function firstOffsetOf(record: Buffer): number {
  const text = recordProperty(record, PropertyName.TRANSACTION_PREPARED_QUEUE_OFFSET)
  return text === undefined ? -1 : countOf(text, -1)
}

function countOf(text: string | undefined, byDefault = 0): number {
  const count = text === undefined || text === '' ? byDefault : Number(text)
  return Number.isSafeInteger(count) && count >= 0 ? count : byDefault
}

function offsetOf(offsets: readonly ConsumerOffsetRow[], wanted: string): number {
  const row = offsets.find(([group, topic]) => group === SystemGroup.TRANSACTION_CHECK && topic === wanted)
  return row?.[3] ?? 0
}

/** Every record of queue 0 from an offset on. @throws StoreError. */
async function eachRecord(
  machine: StoreMachine,
  reader: MessageReader,
  topic: string,
  from: number,
  take: (record: Buffer) => void,
): Promise<void> {
  const queue = machine.queues.find(topic, 0)
  if (queue === undefined) return
  for (let next = Math.max(from, queue.minOffset); next < queue.nextOffset;) {
    const request = { topic, queueId: 0, queueOffset: next, maxCount: READ_COUNT, maxBytes: READ_BYTES }
    const { records, nextBeginOffset } = await new Promise<{ records: readonly Buffer[]; nextBeginOffset: number }>(
      (resolve, reject) => {
        reader.get({ ...request, tagFilter: null }, (error: StoreError | null, result) => {
          if (result !== null) resolve(result)
          else reject(error ?? new Error('a read has a result or an error'))
        })
      },
    )
    for (const record of records) take(record)
    if (nextBeginOffset <= next) return
    next = nextBeginOffset
  }
}
