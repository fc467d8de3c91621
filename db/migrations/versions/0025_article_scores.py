"""The search of articles weighs words, and corrects only what is no word of an article.

Revision ID: 0025
"""

from __future__ import annotations

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

oldest_code = "0001"
oldest_database = "0025"

_EXTENSION = "CREATE EXTENSION IF NOT EXISTS fuzzystrmatch"

_FUNCTIONS = (
    """
CREATE FUNCTION article_significance(stem text) RETURNS float8 LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE
    WHEN stem = ANY ('{
        pleas,thank,hello,hi,hey,dear,ok,okay,help,need,want,like,wish,hope,know,understand,tell,say,said,explain,
        ask,question,answer,wonder,think,mean,see,look,seem,take,give,gave,put,get,got,go,went,let,make,made,tri,
        would,could,might,may,must,shall,realli,actual,also,sinc,mayb,possibl,sure,thing,someth,anyth,noth,everyth,
        reason,goe,cannot,dont,doesnt,didnt,cant,wont,isnt,im,ive,u,pls,thx}')
        THEN 0
    WHEN stem = ANY ('{
        open,close,shut,time,hour,minut,second,day,daili,today,tomorrow,yesterday,week,weekend,month,year,morn,noon,
        afternoon,even,night,midnight,late,earli,soon,long,ago,work,oper,use,run,turn,start,begin,stop,end,keep,
        stay,show,come,came,call,happen,chang,problem,issu,wrong,broken,break,broke,fail,failur,fault,faulti,fix,
        repair,new,old,good,bad,way,place,number,back,still,alway,never,sometim,often,everi,one,two,three,first,
        last,next,much,mani,lot,anymor,sudden,contact,support,offic,servic,compani,custom,staff,person,peopl}')
        THEN 0.3
    ELSE 1
END""",
    r"""
CREATE FUNCTION article_is_about_us(term text) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN term ~* ('\m(yours?|(are|do|did|does|will|were) you(?! (know|think|have any))|pay|paying|payment|prices?|costs?'
    || '|invoices?|bill|buy|purchase|sell|orders?|quote|discount|refund|jobs?|parking|located|appointment)\M')""",
    r"""
CREATE FUNCTION article_query_of_all(term text) RETURNS tsquery LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE
    WHEN EXISTS (SELECT FROM unnest(tsvector_to_array(to_tsvector('english'::regconfig, term))) AS stem
        WHERE article_significance(stem) = 1) THEN article_query(term)
    WHEN NOT article_is_about_us(term)
        THEN regexp_replace(article_query(term)::text, $$('(?:[^']|'')*')$$, $$\1:A$$, 'g')::tsquery
END""",
    """
CREATE FUNCTION article_quorum(words text[], weights float8[], need float8) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    with_first text;
BEGIN
    IF need <= 1e-9 THEN
        RETURN '';
    ELSIF (SELECT coalesce(sum(weight), 0) FROM unnest(weights) AS weight) < need - 1e-9 THEN
        RETURN NULL;
    END IF;
    with_first := article_quorum(words[2:], weights[2:], need - weights[1]);
    RETURN concat_ws(' | ', words[1] || coalesce(' & (' || nullif(with_first, '') || ')', ''),
        article_quorum(words[2:], weights[2:], need));
END
$$""",
    """
CREATE FUNCTION article_search_of_some(term text, everything boolean, OUT search_query tsquery, OUT as_typed tsquery,
    OUT words tsquery[], OUT weights float8[]) LANGUAGE sql STABLE STRICT AS $$
WITH typed AS (
    SELECT DISTINCT ON (stem) word, stem::tsquery AS query, article_significance(stem) AS significance
    FROM unnest(tsvector_to_array(to_tsvector('simple'::regconfig, term))) AS word,
        unnest(tsvector_to_array(to_tsvector('english'::regconfig, word))) AS stem
    WHERE word ~ '^[[:alnum:]]+$' AND article_significance(stem) > 0
    ORDER BY stem, word
), newest AS MATERIALIZED (
    SELECT strip(search_vector) AS stems FROM articles WHERE published OR everything
    ORDER BY created_at DESC, id DESC LIMIT 500
), counted AS MATERIALIZED (
    SELECT word, query, significance, (SELECT count(*) FROM newest WHERE stems @@ query) AS n FROM typed
), known AS MATERIALIZED (
    SELECT *, n > 0 OR EXISTS (SELECT FROM articles WHERE search_vector @@ query AND (published OR everything)) AS known
    FROM counted
), near AS MATERIALIZED (
    SELECT known.word, stem FROM known, LATERAL (
        SELECT near, rank() OVER (ORDER BY distance) AS nth FROM (
            SELECT kept.word AS near, 1 AS distance
            FROM generate_series(1, length(known.word) - 1) AS place, article_words AS kept
            WHERE kept.word = overlay(known.word PLACING reverse(substr(known.word, place, 2)) FROM place FOR 2)
                AND (published OR everything)
            UNION
            SELECT kept.word, levenshtein(kept.word, known.word) FROM article_words AS kept
            WHERE kept.word >= left(known.word, 1) AND kept.word < left(known.word, 1) || U&'\\+10FFFF'
                AND abs(length(kept.word) - length(known.word)) <= CASE WHEN length(known.word) < 8 THEN 1 ELSE 2 END
                AND (length(kept.word) <> length(known.word) OR length(known.word) > 4)
                AND levenshtein_less_equal(kept.word, known.word, 2)
                    <= CASE WHEN length(known.word) < 8 THEN 1 ELSE 2 END
                AND (published OR everything)
        ) AS likely ORDER BY distance, near LIMIT 5
    ) AS nearest, unnest(tsvector_to_array(to_tsvector('english'::regconfig, near))) AS stem
    WHERE NOT known.known AND significance = 1 AND known.word ~ '^[[:alpha:]]{3,40}$' AND nth = 1
), meant AS (
    SELECT query, significance, n, false AS corrected FROM known WHERE known.known
    UNION ALL
    SELECT query, significance, (SELECT count(*) FROM newest WHERE stems @@ query), true FROM (
        SELECT string_agg(DISTINCT stem, ' | ')::tsquery AS query, max(article_significance(stem)) AS significance
        FROM near WHERE article_significance(stem) > 0 GROUP BY word
    ) AS corrections
), weighed AS (
    SELECT query, significance, corrected,
        significance * ln(1 + (SELECT count(*) FROM newest) / greatest(n, 1)::float8) AS weight
    FROM meant
), heaviest AS MATERIALIZED (
    SELECT * FROM weighed ORDER BY weight DESC, query::text LIMIT 8
), total AS MATERIALIZED (
    SELECT sum(weight) + max(weight / significance) * (
        0.8 * sqrt((SELECT coalesce(sum(known.significance), 0) FROM known
            WHERE NOT known.known AND NOT EXISTS (SELECT FROM near WHERE near.word = known.word)))
        + article_is_about_us(term)::int) AS weight
    FROM heaviest
), listed AS (
    SELECT array_agg(format('(%s)', query) ORDER BY weight DESC, query::text) AS texts,
        array_agg(heaviest.weight ORDER BY weight DESC, query::text) AS each,
        coalesce(array_agg(format('(%s)', query) ORDER BY weight DESC, query::text) FILTER (WHERE NOT corrected), '{}')
            AS typed_texts,
        coalesce(array_agg(heaviest.weight ORDER BY weight DESC, query::text) FILTER (WHERE NOT corrected), '{}')
            AS typed_each,
        string_agg(format('(%s)', query), ' | ') FILTER (WHERE significance = 1) AS significant,
        string_agg(format('(%s)', query), ' | ') FILTER (WHERE significance = 1 AND NOT corrected) AS typed_significant
    FROM heaviest
), found AS (
    SELECT significant::tsquery && article_quorum(texts, each, weight / 2)::tsquery AS query,
        typed_significant::tsquery && article_quorum(typed_texts, typed_each, weight / 2)::tsquery AS as_typed
    FROM listed, total
)
SELECT found.query, found.as_typed, array_agg(heaviest.query),
    array_agg(CASE WHEN corrected THEN 0.9 ELSE 1 END * heaviest.weight / total.weight)
FROM found, heaviest, total WHERE strpos(article_query(term)::text, '!') = 0 AND found.query IS NOT NULL
GROUP BY found.query, found.as_typed
$$""",
    """
CREATE FUNCTION article_relevance(vector tsvector, search_query tsquery, as_typed tsquery, words tsquery[],
    weights float8[]) RETURNS float8 LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    stems CONSTANT tsvector := strip(vector);
    share float8 := 0;
BEGIN
    FOR place IN 1 .. cardinality(words) LOOP
        IF stems @@ words[place] THEN
            share := share + weights[place];
        END IF;
    END LOOP;
    RETURN CASE WHEN stems @@ as_typed THEN 0.5 ELSE 0 END + 0.45 * share + 0.05 * ts_rank(vector, search_query, 32);
END
$$""",
)

_DROP = (
    "DROP FUNCTION article_relevance(tsvector, tsquery, tsquery, tsquery[], float8[])",
    "DROP FUNCTION article_search_of_some(text, boolean)",
    "DROP FUNCTION article_quorum(text[], float8[], float8), article_query_of_all(text), article_is_about_us(text)",
    "DROP FUNCTION article_significance(text)",
)


def upgrade() -> None:
    for statement in (_EXTENSION, *_FUNCTIONS):
        op.execute(statement)


def downgrade() -> None:
    for statement in _DROP:
        op.execute(statement)
