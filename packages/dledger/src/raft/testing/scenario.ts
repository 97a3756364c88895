/**
 * Tests only: runs the scripts in `scenarios/`, which read like the discussion that they settle.
 *
 * A script is a list of blocks: commands, a line `----`, and what is seen, up to the next blank line. Lines with # are comments.
 *
 *   members 3            a new group of n0, n1, n2; `members 3 2`: n2 is preferred as leader
 *   cut 2 / join 2       nothing reaches or leaves n2 / it does again
 *   slow 1 / fast 1      log writes of n1 wait / complete again
 *   elect 0              n0 stands, and messages flow until nothing moves; not shown
 *   campaign 0, lost 1 0 (n1 loses its connection to n0), tick 0 3, propose 0 2 (two entries), transfer 0 1, crash 0, start 0
 *   health 0 1           the storage of n0 is slow; 0: well again
 *   read 1               n1 asks up to which index it may read
 *   power 1 2            the machine of n1 goes off and its newest two entries are gone; after `start 1` it is recovering
 *   bind 0               n0 proposes what a leader changes by itself: identities, replaced disks, who caught up; wipe 0 replaces its disk
 *   add 0 3 voter (or learner), remove 0 3: one step of a change asked of n0; `members 3 2` has two spares; members-now 0 shows them
 *   round                what is in the network arrives, once
 *   settle               rounds until nothing moves; `settle quietly` does not show it, `settle quietly 4` ends after four rounds
 *   lose                 what is in the network is lost
 *   hold Recover/release messages of that type from now on wait / arrive in the next round, late
 *   log 0                shows the log and the state of n0
 */
import { assert } from '@dledger-ts/base'
import type { HandoverOptions } from '../role/handover.ts'
import type { Member } from '../configuration.ts'
import type { MembershipChange } from '../membership-change.ts'
import { NO_FAULTS, type PlantedFault } from '../planted-faults.ts'
import { Cluster, type Letter, type TestMember } from './cluster.ts'

/** @param faults planted into all members, to see what a scenario makes of them. */
export function runScenario(script: string, faults: ReadonlySet<PlantedFault> = NO_FAULTS): string {
  const scenario = new Scenario(faults)
  return script
    .trimEnd()
    .split(/\n\n+/)
    .map((block) => scenario.runBlock(block))
    .join('\n\n')
    .concat('\n')
}

class Scenario {
  readonly #faults: ReadonlySet<PlantedFault>
  #cluster!: Cluster
  #lines: string[] = []
  #isShown = true
  readonly #cut = new Set<string>()
  readonly #slow = new Set<string>()
  /** Types of messages that are kept back, and those that are. */
  readonly #held = new Set<string>()
  readonly #late: Letter[] = []

  constructor(faults: ReadonlySet<PlantedFault>) {
    this.#faults = faults
  }

  /** @returns the block with what is seen now. */
  runBlock(block: string): string {
    const commands = block.split('\n----')[0] as string
    this.#lines = []
    for (const line of commands.split('\n')) {
      if (!line.startsWith('#') && line.trim() !== '') this.#run(line.trim().split(/\s+/))
    }
    return [commands, '----', ...this.#lines].join('\n')
  }

  #run([command, ...words]: string[]): void {
    const cluster = this.#cluster
    const numbers = words.map(Number)
    switch (command) {
      case 'members':
        this.#cluster = new Cluster({
          faults: this.#faults,
          size: numbers[0] as number,
          spares: numbers[1] ?? 0,
          random: () => 0,
          ...(words[1] === undefined ? {} : { overrides: { handover: preferring(words[1]) } }),
          trace: (line) => this.#see(line),
        })
        return
      case 'cut':
        return void this.#cut.add(this.#member(words[0]).id)
      case 'join':
        return void this.#cut.delete(this.#member(words[0]).id)
      case 'slow':
        return void this.#slow.add(this.#member(words[0]).id)
      case 'fast':
        return void this.#slow.delete(this.#member(words[0]).id)
      case 'elect':
        return this.#quietly(() => {
          cluster.elect(this.#member(words[0]))
          this.#settle()
        })
      case 'campaign':
        this.#member(words[0]).raft.campaign()
        break
      case 'lost':
        this.#member(words[0]).raft.peerLost(this.#member(words[1]).id)
        break
      case 'connected':
        this.#member(words[0]).raft.peerConnected(this.#member(words[1]).id, this.#member(words[1]).storeId)
        break
      case 'tick':
        for (let i = 0; i < (numbers[1] as number); i++) cluster.tick(this.#member(words[0]))
        break
      case 'propose':
        if (!cluster.propose(this.#member(words[0]), numbers[1] as number)) this.#see('   refused')
        break
      case 'read': {
        const refusal = cluster.read(this.#member(words[0]))
        if (refusal !== null) this.#see(`   refused: ${refusal}`)
        break
      }
      case 'bind':
        if (!cluster.bindIdentities(this.#member(words[0]))) this.#see('   nothing to bind')
        break
      case 'transfer':
        if (!this.#member(words[0]).raft.transferLeadership(this.#member(words[1]).id)) this.#see('   refused')
        break
      case 'health':
        return this.#member(words[0]).raft.storageHealth(numbers[1] as number)
      case 'crash':
        return cluster.crash(this.#member(words[0]))
      case 'start':
        return cluster.start(this.#member(words[0]))
      case 'power':
        return cluster.losePower(this.#member(words[0]), numbers[1] as number)
      case 'hold':
        return void this.#held.add(words[0] as string)
      case 'release':
        this.#held.clear()
        this.#cluster.network.push(...this.#late.splice(0))
        return
      case 'wipe':
        return cluster.wipe(this.#member(words[0]))
      case 'members-now':
        return this.#showMembers(this.#member(words[0]))
      case 'add':
        this.#change(words[0], {
          kind: 'add',
          id: `n${words[1]}`,
          address: null,
          role: words[2] as 'voter' | 'learner',
        })
        break
      case 'remove':
        this.#change(words[0], { kind: 'remove', id: `n${words[1]}` })
        break
      case 'round':
        this.#round()
        break
      case 'settle':
        return words[0] === 'quietly' ? this.#quietly(() => this.#settle(numbers[1])) : this.#settle()
      case 'lose':
        cluster.network.length = 0
        return
      case 'log':
        return this.#showLog(this.#member(words[0]))
      default:
        assert(false, 'a scenario uses commands that there are')
    }
    this.#work()
    cluster.check()
  }

  #member(place: string | undefined): TestMember {
    return this.#cluster.member(`n${place}`)
  }

  #see(line: string): void {
    if (this.#isShown) this.#lines.push(line)
  }

  #quietly(work: () => void): void {
    this.#isShown = false
    work()
    this.#isShown = true
  }

  /** Disks and state machines do what they have to. @returns whether there was anything. */
  #work(): boolean {
    let worked = false
    for (const member of this.#cluster.members) {
      if (!member.isUp) continue
      this.#cluster.drain(member)
      while (this.#cluster.completeHardStateWrite(member)) worked = true
      if (this.#cluster.completeRecovery(member)) worked = true
      while (!this.#slow.has(member.id) && this.#cluster.completeLogWrite(member)) worked = true
      while (this.#cluster.answerColdRead(member, 1000)) worked = true
      this.#cluster.apply(member)
      this.#cluster.drain(member)
    }
    return worked
  }

  #round(): boolean {
    const letters = this.#cluster.network.splice(0)
    for (const letter of letters) {
      if (this.#held.has(letter.message.type)) {
        this.#late.push(letter)
        continue
      }
      if (this.#cut.has(letter.message.from) || this.#cut.has(letter.message.to)) continue
      this.#cluster.deliver(letter)
    }
    return letters.length > 0
  }

  #settle(roundsMax?: number): void {
    for (let i = 0; i < 500; i++) {
      const worked = this.#work()
      if (i === roundsMax || (!this.#round() && !worked)) return this.#cluster.check()
    }
    assert(false, 'a scenario comes to rest')
  }

  #change(place: string | undefined, change: MembershipChange): void {
    const member = this.#member(place)
    const next = member.raft.nextStep(change)
    if (next === null) this.#see('   does not lead')
    else if (next.kind === 'REFUSED') this.#see(`   refused: ${next.why}`)
    else if (next.kind === 'STEP') this.#cluster.change(member, change)
    else this.#see(next.kind === 'DONE' ? '   done' : '   waits')
  }

  #showMembers(member: TestMember): void {
    const { voters, learners } = member.raft.configuration()
    const name = ({ id, storeId }: Member): string => `${id} (${storeId ?? 'not bound'})`
    const waiting = learners.map((learner) => name(learner) + (learner.promote ? ', to be a voter' : ''))
    this.#see(`   ${member.id}: voters ${voters.map(name).join(', ')}; learners ${waiting.join(', ') || 'none'}`)
  }

  #showLog(member: TestMember): void {
    const { role, term, commitIndex, durableIndex, recovering } = member.raft.status()
    const terms = member.log.map((entry) => entry.term).join(' ')
    this.#see(
      `   ${member.id}: ${role} in term ${term}, entries of terms [${terms}], durable ${durableIndex}, committed ${commitIndex}${recovering ? ', recovering' : ''}`,
    )
  }
}

/** `members 3 2`: member 2 is preferred. */
function preferring(place: string): HandoverOptions {
  return { preferredLeader: `n${place}`, stableTicks: 3, retryTicks: 6, unwellRetryTicks: 4, slowTicksMax: 12 }
}
