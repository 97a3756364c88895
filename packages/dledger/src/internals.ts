/**
 * What the simulation and the members of this repository's own tests need beyond the public API. Not for embedders: nothing
 * here is kept stable.
 */
export { bareEnvelope } from './driver/batch-builder.ts'
export { DEFAULT_SETTINGS, type FlushDiskType, type NodeSettings } from './config.ts'
export type { BackgroundDisk, Disk, DiskCallback, DiskFile } from './disk/disk.ts'
export { DLedgerError, type DLedgerErrorDetail } from './errors.ts'
export { LogNode } from './driver/node.ts'
export type { DirectoryOwner, LogNodeOptions } from './driver/node-options.ts'
export { processOwner } from './process-owner.ts'
export type { PlantedDriverFault } from './driver/planted-driver-faults.ts'
export type { Configuration, Learner, Member } from './raft/configuration.ts'
export type { MembershipChange } from './raft/membership-change.ts'
export { decodeConfiguration } from './configuration-codec.ts'
export type { ReadConsistency, ReadRequest } from './driver/reading.ts'
export type { MemberId, Message } from './raft/messages.ts'
export type { RoleState } from './raft/output.ts'
export { PLANTED_FAULTS, type PlantedFault } from './raft/planted-faults.ts'
export type {
  CommittedEntry,
  EntryPlace,
  Proposal,
  StateMachine,
  StateRestore,
  StateSnapshot,
} from './state-machine.ts'
export type { Hello, PeerAddress, Refusal, Transport, TransportHandler } from './transport/transport.ts'
export { freePorts } from './testing/free-ports.ts'
export { HeldReads } from './testing/held-reads.ts'
export { unsyncedDisk } from './testing/unsynced-disk.ts'
