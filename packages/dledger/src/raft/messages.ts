/**
 * What members say to each other. Plain data: no payload bytes here, the driver attaches those to AppendEntries.
 *
 * Indexes count entries from 0; -1 means none yet. Every message names the sender's store identity, so a wiped disk is
 * recognised under its old name. Source: Ongaro's dissertation, §3 and §9.6 (PreVote), §3.10 (TimeoutNow).
 */
export type MemberId = string

export interface MessageBase {
  readonly from: MemberId
  readonly to: MemberId
  /** UUID made with the sender's store. */
  readonly storeId: string
  /** The sender's term. In PreVote and its answer: see there. */
  readonly term: number
}

/** Would you vote for me in `term` (one above the asker's own)? Changes nothing on either side. */
export interface PreVote extends MessageBase {
  readonly type: 'PreVote'
  readonly lastIndex: number
  readonly lastTerm: number
  /** The present leader asked for this election (TimeoutNow): stickiness does not apply. */
  readonly leaderAgrees: boolean
}
/** `term` is the asked term when granted, the answerer's own when refused. */
export interface PreVoteResponse extends MessageBase {
  readonly type: 'PreVoteResponse'
  readonly granted: boolean
  /** The answerer may have lost what it acknowledged: such a vote counts only where all voters grant theirs. */
  readonly recovering: boolean
}
export interface RequestVote extends MessageBase {
  readonly type: 'RequestVote'
  readonly lastIndex: number
  readonly lastTerm: number
  readonly leaderAgrees: boolean
}
export interface RequestVoteResponse extends MessageBase {
  readonly type: 'RequestVoteResponse'
  readonly granted: boolean
  readonly recovering: boolean
}
/** Entries `prevIndex + 1 … prevIndex + count`, all of one term; `count` 0 probes. */
export interface AppendEntries extends MessageBase {
  readonly type: 'AppendEntries'
  readonly prevIndex: number
  readonly prevTerm: number
  readonly count: number
  /** Term of all entries carried; 0 when `count` is 0. */
  readonly entriesTerm: number
  /** Sum of the entries' bytes (headers included), for windows. */
  readonly bytes: number
  readonly commitIndex: number
}
export interface AppendEntriesResponse extends MessageBase {
  readonly type: 'AppendEntriesResponse'
  readonly success: boolean
  /** success: durable up to here and equal to the leader's log. Refused: -1. */
  readonly matchIndex: number
  /** Echo of the request, so duplicates and late answers are judged on their own. */
  readonly prevIndex: number
  /** Refused: the follower's last index, and the term run that holds min(prevIndex, lastIndex): its term and first index. */
  readonly lastIndex: number
  readonly conflictTerm: number
  readonly conflictFirstIndex: number
  /** Of the follower's process: what an earlier one acknowledged may be gone. */
  readonly incarnation: number
  /** It may lack what an earlier incarnation acknowledged: it does not count. */
  readonly recovering: boolean
}
/** Keeps the lease of attention; carries min(commitIndex, what this follower is known to match). */
export interface Heartbeat extends MessageBase {
  readonly type: 'Heartbeat'
  readonly commitIndex: number
  readonly round: number
  /** The leader's commitIndex in full: never to be committed from here, only to tell how far behind this follower is. */
  readonly leaderCommit: number
  /**
   * This follower's newest answer that had arrived before a round began which a majority has answered since: whoever has applied
   * `leaderCommit` sees everything that was committed when it sent that answer. 0 while there is none.
   */
  readonly freshRound: number
  /** The incarnation that gave this answer: to a later one it says nothing. 0 while there is none. */
  readonly freshIncarnation: number
}
export interface HeartbeatResponse extends MessageBase {
  readonly type: 'HeartbeatResponse'
  readonly round: number
  /** Of the answerer's process: the same round may reach an earlier one and a later one. */
  readonly incarnation: number
  /** Of the answerer's storage: bits of `StorageHealth`. */
  readonly health: number
  /** How full the answerer's disk is, 0 to 100; 0 where nobody looks. */
  readonly diskUsage: number
}
/** A follower asks up to which index reading is linearizable (Ongaro §6.4). */
export interface ReadIndex extends MessageBase {
  readonly type: 'ReadIndex'
  /** The asker's own number for it, never used twice. */
  readonly token: number
}
/** `index` holds whatever the terms are: a majority had confirmed the leader after it was asked. -1: refused. */
export interface ReadIndexResponse extends MessageBase {
  readonly type: 'ReadIndexResponse'
  readonly token: number
  readonly index: number
}
/** A recovering member asks its leader how much it has to hold before it counts again; repeated until it is answered. */
export interface Recover extends MessageBase {
  readonly type: 'Recover'
  /** Counts the openings of its directory: what older ones acknowledged is to be forgotten. */
  readonly incarnation: number
  /** Another one for each leader and term that it asks in this life. */
  readonly nonce: number
}
/** `incarnation` and `nonce` are those of the question. */
export interface RecoverResponse extends MessageBase {
  readonly type: 'RecoverResponse'
  readonly incarnation: number
  readonly nonce: number
  /** The leader's last entry now: whatever it was ever acknowledged by the asker lies up to here. */
  readonly lastIndex: number
}
/** The leader hands over: the target starts a pre-vote at once, with `leaderAgrees`. */
export interface TimeoutNow extends MessageBase {
  readonly type: 'TimeoutNow'
}

/** Asks for entries that are lost here. `term` is at most that of the first one: it promises nothing. */
export interface RepairRequest extends MessageBase {
  readonly type: 'RepairRequest'
  readonly firstIndex: number
  readonly lastIndex: number
  readonly bytesMax: number
}
/** Entries of one term, which is the message's; `count` 0: there are none, or not good ones. The payload is their bytes. */
export interface RepairResponse extends MessageBase {
  readonly type: 'RepairResponse'
  readonly firstIndex: number
  readonly count: number
  readonly bytes: number
}

/**
 * The files of this leader's log and the state that belongs to their start, for a follower that needs entries from before it.
 * Its payload is the configuration in force there. Repeated until it is answered.
 */
export interface InstallOffer extends MessageBase {
  readonly type: 'InstallOffer'
  /** Names this transfer within the leader's term. */
  readonly id: number
  /** First entry of the log, and what a hard state says of the one before it. */
  readonly firstIndex: number
  readonly prevTerm: number
  readonly prevEndPos: number
  readonly prevChain: number
  /** The last entry of the transfer, which is committed, and its term. */
  readonly lastIndex: number
  readonly lastTerm: number
  /** The state that comes first: entries up to here are in it; -1 when there is none. */
  readonly snapshotIndex: number
  readonly snapshotId: string
  /** Index of the configuration carried; -1 for none. */
  readonly configurationIndex: number
  readonly bytes: number
  readonly crc: number
}
/** A piece of the state or of the log; CRC-32 of its payload in `crc`. */
export interface InstallPiece extends MessageBase {
  readonly type: 'InstallPiece'
  readonly id: number
  /** Whether it is of the state; else it is a run of entries of one term. */
  readonly isState: boolean
  /** The byte of the state, or the index of the first entry. */
  readonly at: number
  /** Entries carried; 0 for the state. */
  readonly count: number
  readonly entriesTerm: number
  /** The state ends here. */
  readonly isLast: boolean
  readonly bytes: number
  readonly crc: number
}
/** What the follower wants next. It says nothing of what the follower's log holds: that is for AppendEntriesResponse. */
export interface InstallAck extends MessageBase {
  readonly type: 'InstallAck'
  readonly id: number
  readonly nextIndex: number
  /** Next byte of the state; -1 when it has all of it, or wants none. */
  readonly stateAt: number
  /** The transfer is over: its log ought to equal the leader's up to `index`, which the leader is to find out by asking. */
  readonly isOver: boolean
  readonly index: number
}

export type Message =
  | RepairRequest
  | RepairResponse
  | InstallOffer
  | InstallPiece
  | InstallAck
  | PreVote
  | PreVoteResponse
  | RequestVote
  | RequestVoteResponse
  | AppendEntries
  | AppendEntriesResponse
  | Heartbeat
  | HeartbeatResponse
  | ReadIndex
  | ReadIndexResponse
  | Recover
  | RecoverResponse
  | TimeoutNow
