/**
 * A message of the core as the values of a control part: its code, its term, then its own fields in order.
 *
 * Sender, receiver and the sender's store identity are those of the connection (its hello), so they are not repeated.
 * What is handed up is checked field by field: known code, right count, safe integers in range, true booleans.
 */
import { unreachable } from '@dledger-ts/base'
import type { MemberId, Message } from '../raft/messages.ts'
import type { Scalar } from './control-part.ts'
import { FrameError } from './frame-codec.ts'

const PRE_VOTE = 1
const PRE_VOTE_RESPONSE = 2
const REQUEST_VOTE = 3
const REQUEST_VOTE_RESPONSE = 4
const APPEND_ENTRIES = 5
const APPEND_ENTRIES_RESPONSE = 6
const HEARTBEAT = 7
const HEARTBEAT_RESPONSE = 8
const TIMEOUT_NOW = 9
const READ_INDEX = 10
const READ_INDEX_RESPONSE = 11
const INSTALL_OFFER = 13
const INSTALL_PIECE = 14
const INSTALL_ACK = 15
const REPAIR_REQUEST = 17
const REPAIR_RESPONSE = 18
const RECOVER = 19
const RECOVER_RESPONSE = 20
/** Their frames may carry a payload. */
const WITH_PAYLOAD: readonly unknown[] = [APPEND_ENTRIES, REPAIR_RESPONSE, INSTALL_OFFER, INSTALL_PIECE]

/** Bytes that must go with the message as its payload. */
export function payloadBytesOf(message: Message): number {
  return 'bytes' in message ? message.bytes : 0
}

const DATA_TYPES: readonly Message['type'][] = ['AppendEntries', 'RepairResponse', 'InstallOffer', 'InstallPiece']

/** Log bytes go on the data channel, where nothing urgent waits behind them. */
export function isData(message: Message): boolean {
  return DATA_TYPES.includes(message.type)
}

/** Every living peer says something back to these. */
export function isAnswered({ type }: Message): boolean {
  return type === 'Heartbeat' || type === 'AppendEntries' || type === 'PreVote' || type === 'RequestVote'
}

/** Every living peer that hears what was sent before answers these, which go on the data channel, on the control channel. */
export function asksOnData({ type }: Message): boolean {
  return type === 'AppendEntries' || type === 'InstallOffer' || type === 'InstallPiece'
}

/** What is said when something arrived on the data channel. */
export function answersData({ type }: Message): boolean {
  return type === 'AppendEntriesResponse' || type === 'InstallAck'
}

/** Whose words the frames of a connection are. */
export interface Correspondents {
  readonly from: MemberId
  readonly to: MemberId
  readonly storeId: string
}

export function messageValues(m: Message): Scalar[] {
  switch (m.type) {
    case 'PreVote':
      return [PRE_VOTE, m.term, m.lastIndex, m.lastTerm, m.leaderAgrees]
    case 'PreVoteResponse':
      return [PRE_VOTE_RESPONSE, m.term, m.granted, m.recovering]
    case 'RequestVote':
      return [REQUEST_VOTE, m.term, m.lastIndex, m.lastTerm, m.leaderAgrees]
    case 'RequestVoteResponse':
      return [REQUEST_VOTE_RESPONSE, m.term, m.granted, m.recovering]
    case 'AppendEntries':
      return [APPEND_ENTRIES, m.term, m.prevIndex, m.prevTerm, m.count, m.entriesTerm, m.bytes, m.commitIndex]
    case 'AppendEntriesResponse':
      return [
        APPEND_ENTRIES_RESPONSE,
        m.term,
        m.success,
        m.matchIndex,
        m.prevIndex,
        m.lastIndex,
        m.conflictTerm,
        m.conflictFirstIndex,
        m.incarnation,
        m.recovering,
      ]
    case 'Heartbeat':
      return [HEARTBEAT, m.term, m.commitIndex, m.round, m.leaderCommit, m.freshRound, m.freshIncarnation]
    case 'HeartbeatResponse':
      return [HEARTBEAT_RESPONSE, m.term, m.round, m.health, m.diskUsage, m.incarnation]
    case 'InstallOffer':
      return [
        INSTALL_OFFER,
        m.term,
        m.id,
        m.firstIndex,
        m.prevTerm,
        m.prevEndPos,
        m.prevChain,
        m.lastIndex,
        m.lastTerm,
        m.snapshotIndex,
        m.snapshotId,
        m.configurationIndex,
        m.bytes,
        m.crc,
      ]
    case 'InstallPiece':
      return [INSTALL_PIECE, m.term, m.id, m.isState, m.at, m.count, m.entriesTerm, m.isLast, m.bytes, m.crc]
    case 'InstallAck':
      return [INSTALL_ACK, m.term, m.id, m.nextIndex, m.stateAt, m.isOver, m.index]
    case 'TimeoutNow':
      return [TIMEOUT_NOW, m.term]
    case 'ReadIndex':
      return [READ_INDEX, m.term, m.token]
    case 'ReadIndexResponse':
      return [READ_INDEX_RESPONSE, m.term, m.token, m.index]
    case 'RepairRequest':
      return [REPAIR_REQUEST, m.term, m.firstIndex, m.lastIndex, m.bytesMax]
    case 'RepairResponse':
      return [REPAIR_RESPONSE, m.term, m.firstIndex, m.count, m.bytes]
    case 'Recover':
      return [RECOVER, m.term, m.incarnation, m.nonce]
    case 'RecoverResponse':
      return [RECOVER_RESPONSE, m.term, m.incarnation, m.nonce, m.lastIndex]
    default:
      return unreachable(m, 'every message type has a code')
  }
}

/** @throws FrameError when the values are no message, or one that does not announce this many payload bytes. */
export function messageOf(values: readonly unknown[], between: Correspondents, payloadBytes: number): Message {
  const { from, to, storeId } = between
  const term = natural(values[1], 'term')
  if (payloadBytes > 0 && !WITH_PAYLOAD.includes(values[0])) fail('such a message carries no payload')
  switch (values[0]) {
    case PRE_VOTE:
    case REQUEST_VOTE:
      count(values, 5)
      return {
        type: values[0] === PRE_VOTE ? 'PreVote' : 'RequestVote',
        from,
        to,
        storeId,
        term,
        lastIndex: index(values[2], 'lastIndex'),
        lastTerm: natural(values[3], 'lastTerm'),
        leaderAgrees: flag(values[4], 'leaderAgrees'),
      }
    case PRE_VOTE_RESPONSE:
    case REQUEST_VOTE_RESPONSE:
      count(values, 4)
      return {
        type: values[0] === PRE_VOTE_RESPONSE ? 'PreVoteResponse' : 'RequestVoteResponse',
        from,
        to,
        storeId,
        term,
        granted: flag(values[2], 'granted'),
        recovering: flag(values[3], 'recovering'),
      }
    case APPEND_ENTRIES:
      count(values, 8)
      if (values[6] !== payloadBytes) fail('AppendEntries names the size of its payload')
      if ((values[4] === 0) !== (payloadBytes === 0)) fail('AppendEntries has bytes exactly when it has entries')
      return {
        type: 'AppendEntries',
        from,
        to,
        storeId,
        term,
        prevIndex: index(values[2], 'prevIndex'),
        prevTerm: natural(values[3], 'prevTerm'),
        count: natural(values[4], 'count'),
        entriesTerm: natural(values[5], 'entriesTerm'),
        bytes: payloadBytes,
        commitIndex: index(values[7], 'commitIndex'),
      }
    case APPEND_ENTRIES_RESPONSE:
      count(values, 10)
      return {
        type: 'AppendEntriesResponse',
        from,
        to,
        storeId,
        term,
        success: flag(values[2], 'success'),
        matchIndex: index(values[3], 'matchIndex'),
        prevIndex: index(values[4], 'prevIndex'),
        lastIndex: index(values[5], 'lastIndex'),
        conflictTerm: index(values[6], 'conflictTerm'),
        conflictFirstIndex: index(values[7], 'conflictFirstIndex'),
        incarnation: natural(values[8], 'incarnation'),
        recovering: flag(values[9], 'recovering'),
      }
    case HEARTBEAT:
      count(values, 7)
      return {
        type: 'Heartbeat',
        from,
        to,
        storeId,
        term,
        commitIndex: index(values[2], 'commitIndex'),
        round: natural(values[3], 'round'),
        leaderCommit: index(values[4], 'leaderCommit'),
        freshRound: natural(values[5], 'freshRound'),
        freshIncarnation: natural(values[6], 'freshIncarnation'),
      }
    case HEARTBEAT_RESPONSE:
      count(values, 6)
      return {
        type: 'HeartbeatResponse',
        from,
        to,
        storeId,
        term,
        round: natural(values[2], 'round'),
        health: natural(values[3], 'health'),
        diskUsage: natural(values[4], 'diskUsage'),
        incarnation: natural(values[5], 'incarnation'),
      }
    case INSTALL_OFFER:
      count(values, 14)
      if (values[12] !== payloadBytes) fail('InstallOffer names the size of its payload')
      return {
        type: 'InstallOffer',
        from,
        to,
        storeId,
        term,
        id: natural(values[2], 'id'),
        firstIndex: natural(values[3], 'firstIndex'),
        prevTerm: natural(values[4], 'prevTerm'),
        prevEndPos: natural(values[5], 'prevEndPos'),
        prevChain: natural(values[6], 'prevChain'),
        lastIndex: index(values[7], 'lastIndex'),
        lastTerm: natural(values[8], 'lastTerm'),
        snapshotIndex: index(values[9], 'snapshotIndex'),
        snapshotId: shortText(values[10], 'snapshotId'),
        configurationIndex: index(values[11], 'configurationIndex'),
        bytes: payloadBytes,
        crc: natural(values[13], 'crc'),
      }
    case INSTALL_PIECE:
      count(values, 10)
      if (values[8] !== payloadBytes) fail('InstallPiece names the size of its payload')
      return {
        type: 'InstallPiece',
        from,
        to,
        storeId,
        term,
        id: natural(values[2], 'id'),
        isState: flag(values[3], 'isState'),
        at: natural(values[4], 'at'),
        count: natural(values[5], 'count'),
        entriesTerm: natural(values[6], 'entriesTerm'),
        isLast: flag(values[7], 'isLast'),
        bytes: payloadBytes,
        crc: natural(values[9], 'crc'),
      }
    case INSTALL_ACK:
      count(values, 7)
      return {
        type: 'InstallAck',
        from,
        to,
        storeId,
        term,
        id: natural(values[2], 'id'),
        nextIndex: natural(values[3], 'nextIndex'),
        stateAt: index(values[4], 'stateAt'),
        isOver: flag(values[5], 'isOver'),
        index: index(values[6], 'index'),
      }
    case TIMEOUT_NOW:
      count(values, 2)
      return { type: 'TimeoutNow', from, to, storeId, term }
    case RECOVER:
    case RECOVER_RESPONSE: {
      count(values, values[0] === RECOVER ? 4 : 5)
      const question = { incarnation: natural(values[2], 'incarnation'), nonce: natural(values[3], 'nonce') }
      if (values[0] === RECOVER) return { type: 'Recover', from, to, storeId, term, ...question }
      return { type: 'RecoverResponse', from, to, storeId, term, ...question, lastIndex: index(values[4], 'lastIndex') }
    }
    case READ_INDEX:
      count(values, 3)
      return { type: 'ReadIndex', from, to, storeId, term, token: natural(values[2], 'token') }
    case READ_INDEX_RESPONSE:
      count(values, 4)
      return {
        type: 'ReadIndexResponse',
        from,
        to,
        storeId,
        term,
        token: natural(values[2], 'token'),
        index: index(values[3], 'index'),
      }
    case REPAIR_REQUEST:
      count(values, 5)
      return {
        type: 'RepairRequest',
        from,
        to,
        storeId,
        term,
        firstIndex: natural(values[2], 'firstIndex'),
        lastIndex: natural(values[3], 'lastIndex'),
        bytesMax: natural(values[4], 'bytesMax'),
      }
    case REPAIR_RESPONSE:
      count(values, 5)
      if (values[4] !== payloadBytes) fail('RepairResponse names the size of its payload')
      if ((values[3] === 0) !== (payloadBytes === 0)) fail('RepairResponse has bytes exactly when it has entries')
      return {
        type: 'RepairResponse',
        from,
        to,
        storeId,
        term,
        firstIndex: natural(values[2], 'firstIndex'),
        count: natural(values[3], 'count'),
        bytes: payloadBytes,
      }
    default:
      return fail(`no message has the code ${String(values[0])}`)
  }
}

function fail(why: string): never {
  throw new FrameError(why, { code: 'CONTENT' })
}

function count(values: readonly unknown[], expected: number): void {
  if (values.length !== expected) fail(`a message of code ${String(values[0])} has ${expected} values`)
}

function natural(value: unknown, name: string): number {
  return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : fail(`${name} is a whole number`)
}

/** An index, or -1 for none. */
function index(value: unknown, name: string): number {
  return Number.isSafeInteger(value) && (value as number) >= -1 ? (value as number) : fail(`${name} is an index or -1`)
}

/** Characters of a snapshot's id at most: it is kept in the hard state. */
export const SNAPSHOT_ID_CHARACTERS_MAX = 128

function shortText(value: unknown, name: string): string {
  return typeof value === 'string' && value.length <= SNAPSHOT_ID_CHARACTERS_MAX
    ? value
    : fail(`${name} is a short text`)
}

function flag(value: unknown, name: string): boolean {
  return typeof value === 'boolean' ? value : fail(`${name} is true or false`)
}
