package interop;

/** A use of the client that is checked before and after a failover, in one process. Throws where something is not as it should be. */
interface Scenario {
    String name();

    /** Checks it once and leaves behind what `after` looks at. Returns what was seen, for the reader of the run. */
    String before() throws Exception;

    /** Starts what is to be under way while the leader dies; called last, when all scenarios are through `before`. */
    default void leaveBehind() throws Exception {}

    /** Checks it again, with another leader. */
    String after() throws Exception;
}
