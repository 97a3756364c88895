/** A message in one line, with what matters of its type: for traces and scenarios. Index and term of an entry are written index/term. */
import { unreachable } from '@dledger-ts/base'
import type { Message } from '../messages.ts'

export function describeMessage(message: Message): string {
  const head = `${message.type} term=${message.term}`
  switch (message.type) {
    case 'PreVote':
    case 'RequestVote':
      return `${head} last=${message.lastIndex}/${message.lastTerm}${message.leaderAgrees ? ' leader agrees' : ''}`
    case 'PreVoteResponse':
    case 'RequestVoteResponse':
      return `${head} ${message.granted ? 'granted' : 'refused'}${message.recovering ? ', recovering' : ''}`
    case 'AppendEntries': {
      const entries = message.count === 0 ? 'nothing' : `${message.count} of term ${message.entriesTerm}`
      return `${head} prev=${message.prevIndex}/${message.prevTerm} ${entries} commit=${message.commitIndex}`
    }
    case 'AppendEntriesResponse':
      if (message.success) return `${head} match=${message.matchIndex}${message.recovering ? ', recovering' : ''}`
      return (
        `${head} refused prev=${message.prevIndex} last=${message.lastIndex} ` +
        `conflict=${message.conflictFirstIndex}/${message.conflictTerm}`
      )
    case 'Heartbeat':
      return `${head} commit=${message.commitIndex}`
    case 'HeartbeatResponse':
      return `${head}${message.health === 0 ? '' : ` health=${message.health}`}`
    case 'TimeoutNow':
    case 'InstallOffer':
    case 'InstallPiece':
    case 'InstallAck':
      return head
    case 'ReadIndex':
      return `${head} token=${message.token}`
    case 'ReadIndexResponse':
      return `${head} token=${message.token} ${message.index < 0 ? 'refused' : `index=${message.index}`}`
    case 'RepairRequest':
    case 'RepairResponse':
      return `${head} from ${message.firstIndex}`
    case 'Recover':
      return `${head} incarnation=${message.incarnation} nonce=${message.nonce}`
    case 'RecoverResponse':
      return `${head} incarnation=${message.incarnation} nonce=${message.nonce} last=${message.lastIndex}`
    default:
      return unreachable(message, 'each type of message is described')
  }
}
