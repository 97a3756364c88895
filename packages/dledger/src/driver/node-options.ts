/** What a driver is given: everything that it does not decide itself. */
import type { Clock, Logger, Random } from '@dledger-ts/base'
import type { NodeSettings } from '../config.ts'
import type { Disk } from '../disk/disk.ts'
import type { MemberId } from '../raft/messages.ts'
import type { PlantedFault } from '../raft/planted-faults.ts'
import type { ControlEnvelope, StateMachine } from '../state-machine.ts'
import type { Transport } from '../transport/transport.ts'
import type { NodeObserver } from './observer.ts'
import type { PlantedDriverFault } from './planted-driver-faults.ts'
import type { Ticker } from './ticker.ts'

/** `master`: the lone voter; a copy becomes it by being opened so. `slave`: a learner, whatever it was before. */
export type ClassicRole = 'master' | 'slave'

export interface LogNodeOptions {
  readonly clock: Clock
  readonly random: Random
  readonly disk: Disk
  readonly transport: Transport
  readonly logger: Logger
  /** Of this member alone; made when missing. */
  readonly directory: string
  readonly group: string
  readonly self: MemberId
  /** Bootstraps an empty group only; afterwards the membership in the log counts. */
  readonly bootstrapVoters: readonly MemberId[]
  /** An empty member joins a group that is there: it waits until that names it, and is no bootstrap voter. Default false. */
  readonly joins?: boolean
  readonly settings: NodeSettings
  /** Null: entries are only kept and read. */
  readonly stateMachine: StateMachine | null
  readonly controlEnvelope: ControlEnvelope
  /** Told to the peers; free text. */
  readonly advertised: string
  /** Who owns the directory: this process. */
  readonly owner: DirectoryOwner
  readonly newStoreId: () => string
  /** Shared by members of one process that wake together; default: one of its own. */
  readonly ticker?: Ticker
  /** For those who watch; none by default. */
  readonly observer?: NodeObserver
  /** Something was applied, or the role changed. */
  readonly onProgress?: () => void
  /** A follower has answered: it may hold more than before. */
  readonly onAcknowledged?: () => void
  /** This member leads alone, or copies a member that does: nobody is elected. Left out: it is one of a group that elects. */
  readonly classic?: ClassicRole
  /** The member has stopped for good after a storage failure or a broken invariant. */
  readonly onFatal: (error: Error) => void
  /**
   * Takes a recovering member for intact: only for a group whose members all lost power under ASYNC_FLUSH and of which one never
   * returns. Acknowledged entries may be lost. Default false.
   */
  readonly assumeIntact?: boolean
  /** Simulation only. */
  readonly plantedDriverFaults?: ReadonlySet<PlantedDriverFault>
  readonly plantedFaults?: ReadonlySet<PlantedFault>
}

/** Identifies this process and this boot of the machine, for the directory lock. */
export interface DirectoryOwner {
  readonly pid: number
  readonly processStart: string
  readonly bootId: string
  /** Whether the process that wrote a lock file still lives. */
  isAlive(pid: number, processStart: string, bootId: string): boolean
}
