package interop;

/**
 * A use of the client that is checked on a steady group and through the death of a leader, in one process. Throws where something is not as it
 * should be; returns what was seen, for the reader of the run.
 */
interface Scenario {
    String name();

    /** Checks it once, and leaves its consumers running. */
    String before() throws Exception;

    /** Checks it again with a leader that is killed in the middle, and ends. */
    String through(Middle middle) throws Exception;
}
