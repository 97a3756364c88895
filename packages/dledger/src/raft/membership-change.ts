/**
 * What an operator wants changed, as the next configuration on the way there. Pure.
 *
 * Keeps: one step changes one voter at most; whoever is to vote is a learner first, until it has caught up (Ongaro §4.2.1). A
 * change that was begun and given up can be asked for again and goes on where it stands.
 */
import type { Configuration, Learner, Member } from './configuration.ts'
import type { MemberId } from './messages.ts'

export type MembershipChange =
  | {
      readonly kind: 'add'
      readonly id: MemberId
      /** Null: as the options of each member say. */
      readonly address: string | null
      readonly role: 'voter' | 'learner'
    }
  | { readonly kind: 'remove'; readonly id: MemberId }

/** Members of a group at most, learners included. */
const MEMBERS_MAX = 16

/** STEP: to be proposed. WAITS: begun; what is missing happens by itself. DONE: nothing is missing. REFUSED: it cannot be. */
export type NextStep =
  | { readonly kind: 'STEP'; readonly configuration: Configuration }
  | { readonly kind: 'WAITS' }
  | { readonly kind: 'DONE' }
  | { readonly kind: 'REFUSED'; readonly why: string }

const WAITS: NextStep = { kind: 'WAITS' }
const DONE: NextStep = { kind: 'DONE' }

export function nextStep(configuration: Configuration, change: MembershipChange): NextStep {
  const next = nextMembers(configuration, change)
  if (next.kind !== 'STEP' || configuration.formers === undefined) return next
  return step({ ...next.configuration, formers: configuration.formers })
}

function nextMembers(configuration: Configuration, change: MembershipChange): NextStep {
  if (change.kind === 'remove') return removal(configuration, change.id)
  const { voters, learners } = configuration
  const { id, role } = change
  const voter = voters.find((member) => member.id === id)
  const learner = learners.find((member) => member.id === id)
  const former = voter ?? learner
  if (former === undefined) {
    if (voters.length + learners.length >= MEMBERS_MAX) {
      return refused(`the group has ${voters.length + learners.length} members; ${MEMBERS_MAX} are allowed`)
    }
    const added: Learner = { id, storeId: null, address: change.address, promote: role === 'voter' }
    return step({ voters, learners: [...learners, added] })
  }
  const address = change.address ?? former.address
  if (voter !== undefined) {
    if (role === 'voter') {
      if (address === voter.address) return DONE
      return step({ voters: voters.map((member) => (member.id === id ? { ...member, address } : member)), learners })
    }
    if (voters.length === 1) return refused(`${id} is the only voter`)
    const demoted: Learner = { ...voter, address, promote: false }
    return step({ voters: without(voters, id), learners: [...learners, demoted] })
  }
  const wanted: Learner = { ...(learner as Learner), address, promote: role === 'voter' }
  if (learner?.address === address && learner.promote === wanted.promote) return wanted.promote ? WAITS : DONE
  return step({ voters, learners: learners.map((member) => (member.id === id ? wanted : member)) })
}

/** Whether one of the two undoes what the other does, so that both together would never be done. */
export function contradict(a: MembershipChange, b: MembershipChange): boolean {
  if (a.id !== b.id) return false
  if (a.kind === 'remove' || b.kind === 'remove') return a.kind !== b.kind
  return a.role !== b.role || (a.address !== null && b.address !== null && a.address !== b.address)
}

function removal({ voters, learners }: Configuration, id: MemberId): NextStep {
  if (voters.some((member) => member.id === id)) {
    return voters.length === 1 ? refused(`${id} is the only voter`) : step({ voters: without(voters, id), learners })
  }
  return learners.some((member) => member.id === id) ? step({ voters, learners: without(learners, id) }) : DONE
}

function without<Kind extends Member>(members: readonly Kind[], id: MemberId): readonly Kind[] {
  return members.filter((member) => member.id !== id)
}

function step(configuration: Configuration): NextStep {
  return { kind: 'STEP', configuration }
}

function refused(why: string): NextStep {
  return { kind: 'REFUSED', why }
}
