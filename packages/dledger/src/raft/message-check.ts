/**
 * Which messages make sense at all, whatever the state of this member: numbers in range and in order.
 *
 * Messages come from outside; what passes here can be compared and computed with, and nothing else gets into the core.
 */
import type { Message } from './messages.ts'
import { STORAGE_HEALTH_MAX } from './storage-health.ts'

// An entry is never smaller than its header.
const ENTRY_BYTES_MIN = 48

export function makesSense(message: Message): boolean {
  if (!isTerm(message.term) || message.term === 0) return false
  switch (message.type) {
    case 'PreVote':
    case 'RequestVote':
      return isIndex(message.lastIndex) && isTerm(message.lastTerm) && message.lastTerm <= message.term
    case 'AppendEntries':
      return (
        isIndex(message.prevIndex) &&
        isTerm(message.prevTerm) &&
        isIndex(message.commitIndex) &&
        isCount(message.count) &&
        isCount(message.bytes) &&
        isTerm(message.entriesTerm) &&
        Number.isSafeInteger(message.prevIndex + message.count) &&
        message.bytes >= message.count * ENTRY_BYTES_MIN &&
        (message.count === 0
          ? message.prevTerm <= message.term
          : message.prevTerm <= message.entriesTerm && message.entriesTerm > 0 && message.entriesTerm <= message.term)
      )
    case 'AppendEntriesResponse':
      return (
        isIndex(message.matchIndex) &&
        isIndex(message.prevIndex) &&
        isIndex(message.lastIndex) &&
        isTerm(message.conflictTerm) &&
        isCount(message.conflictFirstIndex) &&
        isCount(message.incarnation)
      )
    case 'Heartbeat':
      return (
        isIndex(message.commitIndex) &&
        isCount(message.round) &&
        isIndex(message.leaderCommit) &&
        isCount(message.freshRound) &&
        message.freshRound <= message.round &&
        isCount(message.freshIncarnation)
      )
    case 'ReadIndex':
      return isCount(message.token)
    case 'ReadIndexResponse':
      return isCount(message.token) && isIndex(message.index)
    case 'HeartbeatResponse':
      return (
        isCount(message.round) &&
        isCount(message.incarnation) &&
        isCount(message.health) &&
        message.health <= STORAGE_HEALTH_MAX &&
        isCount(message.diskUsage) &&
        message.diskUsage <= 100
      )
    case 'RepairRequest':
      return isCount(message.firstIndex) && isCount(message.lastIndex) && isCount(message.bytesMax)
    case 'RepairResponse':
      return (
        isCount(message.firstIndex) &&
        isCount(message.count) &&
        isCount(message.bytes) &&
        Number.isSafeInteger(message.firstIndex + message.count) &&
        message.bytes >= message.count * ENTRY_BYTES_MIN
      )
    case 'InstallOffer':
      return (
        isCount(message.id) &&
        isCount(message.firstIndex) &&
        isTerm(message.prevTerm) &&
        isCount(message.prevEndPos) &&
        isCount(message.prevChain) &&
        isIndex(message.lastIndex) &&
        message.lastIndex >= message.firstIndex &&
        isTerm(message.lastTerm) &&
        message.prevTerm <= message.lastTerm &&
        message.lastTerm <= message.term &&
        isIndex(message.snapshotIndex) &&
        message.snapshotIndex <= message.lastIndex &&
        (message.snapshotIndex === -1 || message.snapshotIndex >= message.firstIndex - 1) &&
        isIndex(message.configurationIndex) &&
        message.configurationIndex < message.firstIndex &&
        isCount(message.bytes) &&
        isCount(message.crc)
      )
    case 'InstallPiece':
      return (
        isCount(message.id) &&
        isCount(message.at) &&
        isCount(message.count) &&
        isTerm(message.entriesTerm) &&
        message.entriesTerm <= message.term &&
        Number.isSafeInteger(message.at + message.count) &&
        isCount(message.bytes) &&
        isCount(message.crc) &&
        message.isState === (message.count === 0) &&
        message.bytes >= message.count * ENTRY_BYTES_MIN
      )
    case 'InstallAck':
      return isCount(message.id) && isCount(message.nextIndex) && isIndex(message.stateAt) && isIndex(message.index)
    case 'Recover':
      return isCount(message.incarnation) && isCount(message.nonce)
    case 'RecoverResponse':
      return isCount(message.incarnation) && isCount(message.nonce) && isIndex(message.lastIndex)
    case 'PreVoteResponse':
    case 'RequestVoteResponse':
    case 'TimeoutNow':
      return true
    default:
      return isNever(message)
  }
}

/** A type of message that only a newer version knows. */
function isNever(_message: never): boolean {
  return false
}

function isTerm(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0
}

/** -1 means none. */
function isIndex(value: number): boolean {
  return Number.isSafeInteger(value) && value >= -1
}
