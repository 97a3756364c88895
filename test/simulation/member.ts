/**
 * One member of a simulated group through all its lives: the machine with its drive stays, processes come and go.
 */
import type { DirectoryOwner, LogNode, MemberId, RoleState } from '@dledger-ts/dledger/internals'
import { HardStateImage } from './hard-state-image.ts'
import { type ImageEntry, LogImage } from './log-image.ts'
import type { SimClock, SimEvent, Process } from './sim-clock.ts'
import type { SimDrive, SimDriveImage } from './sim-drive.ts'
import type { Death } from './schedule.ts'
import { RegisterMap } from './registers.ts'
import type { Checkpoint } from './state-machine.ts'

export interface LostTail {
  readonly entries: readonly ImageEntry[]
  /** The life it was lost with. */
  readonly incarnation: number
  /** Leaders that know of it, each with its term, and what they had committed when they learned it. */
  readonly knownBy: Map<string, number>
}

/** `failed`: it stopped itself after a disk error and waits for its machine to be started anew. */
export interface DriveImage {
  readonly image: SimDriveImage
  readonly storeId: string
  readonly incarnation: number
  /** What the state machine kept on it. */
  readonly checkpoint: Checkpoint
}

export type Life = 'down' | 'starting' | 'up' | 'closing' | 'failed'

/** Former starts whose drive is remembered. */
const IMAGES_MAX = 3

export interface MemberOptions {
  readonly fileBytes: number
  readonly joins: boolean
  readonly committed: () => readonly ImageEntry[]
}

export class Member implements Process {
  readonly id: number
  readonly name: MemberId
  readonly directory: string
  readonly drive: SimDrive
  readonly cacheImage: LogImage
  readonly durableImage: LogImage
  readonly durableVote: HardStateImage
  readonly cacheVote: HardStateImage
  readonly checkpoint: Checkpoint = { appliedIndex: -1, hash: 0 }
  readonly heldBack: SimEvent[] = []
  /** What its state machine holds; of a dead process, what it held. */
  registers = new RegisterMap()
  incarnation = 1
  paused = false
  pauses = 0
  /** Its machine was suspended so often: its wall clock is not set any more then. */
  suspensions = 0
  /** What a suspension has to put right before the member takes input again. */
  onResume: (() => void) | null = null
  life: Life = 'down'
  node: LogNode | null = null
  clock: SimClock | null = null
  /** Set by a death between two effects, until the event it happened in is over. */
  dying: { readonly death: Death; readonly downMs: number } | null = null
  /** Effects left until it dies, or null. */
  effectsLeft: number | null = null
  plannedDeath: { readonly death: Death; readonly downMs: number } = { death: 'kill', downMs: 0 }
  boots = 0
  wallSkewMs = 0
  /** Joins a group that is there; a spare, until it is told to. */
  readonly joins: boolean
  hasStarted = false
  /** What its lost disks held durably, by their identities: acknowledgements given for that count. */
  readonly lostLogs = new Map<string, readonly ImageEntry[]>()
  /** Its drive as it was found at former starts, oldest first. */
  readonly images: DriveImage[] = []
  /** Logs as they counted when a power cut took what was only in the page cache; until it is intact again (ASYNC_FLUSH). */
  lostTails: LostTail[] = []
  storeIds = 0
  /** Disk errors it was given in this life are expected to stop it. */
  errorsGivenAtStart = 0
  restartAfterErrorMs = 100
  /** When it was last asked to hand over the leadership. */
  askedToHandOverMs = Number.NEGATIVE_INFINITY
  /** While it is closing. */
  askedToStopMs = Number.NEGATIVE_INFINITY
  /** When it last went on after a pause. */
  resumedAtMs = 0

  constructor(id: number, drive: SimDrive, options: MemberOptions) {
    const { fileBytes, committed } = options
    this.joins = options.joins
    this.id = id
    this.name = `n${id}`
    this.drive = drive
    this.directory = `/srv/dledger-${this.name}`
    const image = (view: 'cache' | 'durable', hardState: HardStateImage): LogImage =>
      new LogImage(drive, this.directory, { fileBytes, view, hardState, committed })
    this.durableVote = new HardStateImage(drive, `${this.directory}/hard-state`, 'durable')
    this.durableImage = image('durable', this.durableVote)
    this.cacheVote = new HardStateImage(drive, `${this.directory}/hard-state`, 'cache')
    this.cacheImage = image('cache', this.cacheVote)
  }

  /** Its drive as this start finds it, for a later one that goes back to it. */
  remember(): void {
    const { storeId, incarnation } = this.durableVote.read()
    if (storeId === '') return
    this.images.push({ image: this.drive.snapshot(), storeId, incarnation, checkpoint: { ...this.checkpoint } })
    if (this.images.length > IMAGES_MAX) this.images.shift()
  }

  /** Nobody has asked it to join yet. */
  get isSpare(): boolean {
    return this.joins && !this.hasStarted
  }

  get isUp(): boolean {
    return this.life === 'up' && this.dying === null
  }

  get role(): RoleState | null {
    return this.node === null || (this.life !== 'up' && this.life !== 'closing') ? null : this.node.role
  }

  get metDiskError(): boolean {
    return this.drive.errorsGiven > this.errorsGivenAtStart
  }

  owner(): DirectoryOwner {
    const own = { pid: 1000 + this.incarnation, processStart: `${this.incarnation}`, bootId: `boot-${this.boots}` }
    const { incarnation } = this
    return {
      ...own,
      isAlive: (pid, processStart, bootId) =>
        this.incarnation === incarnation &&
        pid === own.pid &&
        processStart === own.processStart &&
        bootId === own.bootId,
    }
  }
}
