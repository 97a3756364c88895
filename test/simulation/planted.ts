/**
 * Every fault that can be planted, to show that the simulation finds it: in the core, in the driver, and below them, where a
 * disk that silently does nothing stands for code that forgot to ask it.
 */
import { PLANTED_FAULTS, type PlantedDriverFault, type PlantedFault } from '@dledger-ts/dledger/internals'

/** What the simulated disk leaves out, as if nobody had called it. */
export type PlantedDiskFault =
  /** fdatasync of a file is never called. */
  | 'file-sync-omitted'
  /** A directory is never synced, so new files and names vanish in a power cut. */
  | 'directory-sync-omitted'
  /** What a truncation or recovery zeroes is left as it was. */
  | 'cut-bytes-not-zeroed'
  /** A failed write reports success. */
  | 'write-error-ignored'
  /** What cannot be read counts as zeros. */
  | 'read-error-ignored'

/** What the service above the log does wrong, for what only its clients can see. */
export type PlantedClientFault =
  /** A member that believes to lead answers reads from its own state. */
  'reads-own-state'

export interface PlantedFaults {
  readonly core: ReadonlySet<PlantedFault>
  readonly driver: ReadonlySet<PlantedDriverFault>
  readonly disk: ReadonlySet<PlantedDiskFault>
  readonly client: ReadonlySet<PlantedClientFault>
}

export type FaultName = PlantedFault | PlantedDriverFault | PlantedDiskFault | PlantedClientFault

export const NO_PLANTED_FAULTS: PlantedFaults = {
  core: new Set(),
  driver: new Set(),
  disk: new Set(),
  client: new Set(),
}

const DRIVER_FAULTS: readonly PlantedDriverFault[] = [
  'reply-before-hard-state',
  'durable-before-sync',
  'sync-error-ignored',
  'acknowledged-before-commit',
  'hot-tail-not-truncated',
  'old-image-accepted',
  'lease-survives-pause',
  'lease-ignores-suspension',
  'lease-survives-hand-over',
  'trim-ignores-applied',
  'page-cache-trusted-after-failed-sync',
  'corrupt-middle-treated-as-end',
  'end-without-chain',
  'repair-not-verified',
  'body-crc-ignored-on-read',
  'install-acknowledged-before-switch',
  'piece-crc-ignored',
  'staged-state-unchecked',
  'hung-read-unseen',
  'full-disk-acknowledged',
  'hard-state-copy-unread',
]
const DISK_FAULTS: readonly PlantedDiskFault[] = [
  'file-sync-omitted',
  'directory-sync-omitted',
  'cut-bytes-not-zeroed',
  'write-error-ignored',
  'read-error-ignored',
]

const CLIENT_FAULTS: readonly PlantedClientFault[] = ['reads-own-state']

export const ALL_FAULTS: readonly FaultName[] = [...PLANTED_FAULTS, ...DRIVER_FAULTS, ...DISK_FAULTS, ...CLIENT_FAULTS]

/** One fault alone. */
export function plant(name: FaultName): PlantedFaults {
  return {
    core: new Set(PLANTED_FAULTS.filter((fault) => fault === name)),
    driver: new Set(DRIVER_FAULTS.filter((fault) => fault === name)),
    disk: new Set(DISK_FAULTS.filter((fault) => fault === name)),
    client: new Set(CLIENT_FAULTS.filter((fault) => fault === name)),
  }
}
