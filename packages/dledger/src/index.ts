export { DLedgerError, type DLedgerErrorDetail } from './errors.ts'
export type { Role, RoleState } from './raft/output.ts'
export type { CommittedEntry, ControlEnvelope, EntryPlace, Proposal, StateMachine } from './state-machine.ts'
