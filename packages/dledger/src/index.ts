export { DEFAULT_SETTINGS, type FlushDiskType, type NodeSettings } from './config.ts'
export { DLedger } from './dledger.ts'
export type {
  AddMemberOptions,
  BackupOptions,
  DLedgerEvents,
  DLedgerOptions,
  IterateOptions,
  LogEntry,
  ReadIndexOptions,
} from './dledger-options.ts'
export { type BackgroundDisk, type Disk, type DiskFile, isDiskFull } from './disk/disk.ts'
export {
  closeFile,
  listDirectory,
  makeDirectory,
  openFile,
  removeDirectory,
  removeFile,
  truncateFile,
} from './disk/background.ts'
export { nodeDisk } from './disk/node-disk.ts'
export { DLedgerHost, type GroupOptions, type HostOptions, type HostStatus } from './host/dledger-host.ts'
export type { HostLimits } from './host/host-limits.ts'
export { DLedgerError, type DLedgerErrorDetail } from './errors.ts'
export { isEntryAt } from './log/entry-codec.ts'
export type { BackedUp } from './driver/backup.ts'
export { bootIdentity } from './process-owner.ts'
export type { PeerStatus } from './driver/members.ts'
export type { ClassicRole, DirectoryOwner } from './driver/node-options.ts'
export type { NodeStatus } from './driver/node-status.ts'
export type { Configuration, Learner, Member } from './raft/configuration.ts'
export type { ReadConsistency } from './driver/reading.ts'
export type { MemberId, Message } from './raft/messages.ts'
export type { Role, RoleState } from './raft/output.ts'
export type {
  CommittedEntry,
  ControlEnvelope,
  ControlKind,
  EntryPlace,
  Proposal,
  StateMachine,
  StateRestore,
  StateSnapshot,
} from './state-machine.ts'
export { MemoryNetwork, MemoryTransport } from './transport/memory.ts'
export type { PeerSockets } from './transport/sockets.ts'
export { type TcpPeer, TcpTransport, type TcpTransportOptions } from './transport/tcp.ts'
export type { Hello, PeerAddress, Refusal, RefusalKind, Transport, TransportHandler } from './transport/transport.ts'
